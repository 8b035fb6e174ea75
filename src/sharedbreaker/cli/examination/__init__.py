"""What `sharedbreaker doctor` examines: each file a part, each finding with what to do about it."""
