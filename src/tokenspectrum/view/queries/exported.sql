SELECT run, seed, step, response_id FROM matching ORDER BY run, seed, step, response_id LIMIT $limit
