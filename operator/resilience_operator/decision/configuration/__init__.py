"""Configuration that belongs to a revision: the ConfigMaps and Secrets that its pod template reads."""
