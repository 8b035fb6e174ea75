"""Other people's libraries, one a room: each needs an extra, and nothing below needs any of them."""
