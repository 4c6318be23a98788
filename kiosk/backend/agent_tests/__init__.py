"""Tests of what an agent says: their files, who is asked, and what is made of the answer."""
