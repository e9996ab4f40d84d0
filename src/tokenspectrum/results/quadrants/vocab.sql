-- The text of every token of the vocabulary.
SELECT token_id, text FROM vocab ORDER BY token_id;
