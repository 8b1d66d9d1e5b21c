"""What a rehearsal came to, and how it is told: as a table, as JSON, as a picture. No I/O but the picture's file."""
