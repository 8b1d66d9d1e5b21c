"""The release: its phases, attribution of breaches to it, and remediation."""
