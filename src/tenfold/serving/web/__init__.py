"""The page that classifies in the browser alone, without a server."""
