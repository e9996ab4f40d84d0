-- Every response that can be shown.  r numbers them in the order in which they were read.
CREATE TABLE responses (
    r INTEGER, run VARCHAR, seed INTEGER, step INTEGER, response_id INTEGER,
    prompt_id VARCHAR, source VARCHAR, sample INTEGER, text VARCHAR, n_prompt INTEGER, n_tokens INTEGER,
    finish_reason VARCHAR, answer VARCHAR, reward FLOAT, reward_raw FLOAT, correct BOOLEAN, advantage FLOAT
);
CREATE TABLE packed (r INTEGER);
