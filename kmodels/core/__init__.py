"""What every paper shares: its protocol, its registry and its codecs."""
