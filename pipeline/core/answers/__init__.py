"""What an answer means, and what comes next."""
