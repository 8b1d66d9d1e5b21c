"""`replay`: recorded metrics, asked for in ranges or read from a file, made into what the live loop would have seen."""
