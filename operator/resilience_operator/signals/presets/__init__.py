"""The preset queries, as data, and how their series become observations."""
