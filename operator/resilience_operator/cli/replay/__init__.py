"""`replay`: turns recorded metrics, from range queries or a file, into the input of the live loop."""
