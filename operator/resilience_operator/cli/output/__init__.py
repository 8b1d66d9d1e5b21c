"""Output formats of commands that print objects: `-o table|wide|name|json|yaml|jsonpath=TEMPLATE`."""
