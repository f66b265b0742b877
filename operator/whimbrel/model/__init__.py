"""The words that every layer shares. Imports nothing of ours but itself."""
