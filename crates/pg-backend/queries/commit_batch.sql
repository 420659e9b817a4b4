-- One batch, one statement, one transaction. What it does stands with the function, in `migrations/`.
SELECT state AS "state!", have, fenced_rows, wanted_rows, added_rows
FROM clawstore.commit_batch_v2(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
    $26, $27
)
