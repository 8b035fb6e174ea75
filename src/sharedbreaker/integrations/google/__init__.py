"""What the guards of both Google SDKs have in common. For users: ``google_genai``, ``google_generativeai``."""
