"""What every service of the suite shares and no domain word names: the web side of a service."""
