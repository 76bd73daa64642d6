"""What ties sensor, farm and possession together: taking payloads apart, fetching what they name, saying what it is."""
