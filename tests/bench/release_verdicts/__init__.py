"""How often the verdict on a release is wrong, and how soon it is right."""
