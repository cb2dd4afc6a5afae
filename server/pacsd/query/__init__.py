"""What a query means (PS3.4 Annex C): its keys, how values match them, which keys go together; no SQL, no network."""
