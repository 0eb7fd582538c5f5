package store

import (
	"context"
	"database/sql"

	"github.com/batholith/batholith"
)

// unnestFiles inserts files by one statement, from one array for each column.
func unnestFiles(ctx context.Context, tx *sql.Tx, id string, files []batholith.File) error {
	n, bytes, records := make([]int64, len(files)), make([]int64, len(files)), make([]int64, len(files))
	keys, etags, sums, outputs, indexes := make([]string, len(files)), make([]string, len(files)), make([]string, len(files)), make([]string, len(files)), make([]string, len(files))
	for i, f := range files {
		n[i], bytes[i], records[i] = int64(f.N), f.Bytes, f.Records
		keys[i], etags[i], sums[i], outputs[i], indexes[i] = f.Key, f.ETag, f.CRC32C, f.Output, f.Index
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO files (job, n, key, etag, bytes, records, crc32c, output, index_key)
		SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[])`,
		id, n, keys, etags, bytes, records, sums, outputs, indexes)
	return err
}

// unnestChunks inserts chunks likewise.
func unnestChunks(ctx context.Context, tx *sql.Tx, id string, chunks []batholith.Chunk) error {
	var columns [8][]int64
	for i := range columns {
		columns[i] = make([]int64, len(chunks))
	}
	for i, c := range chunks {
		for column, v := range [8]int64{int64(c.N), int64(c.File), c.First, int64(c.Count), c.Offset, c.Bytes, c.IndexOffset, int64(c.IndexBytes)} {
			columns[column][i] = v
		}
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO chunks (job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done)
		SELECT $1, it.*, 'pending', '', 0, ''
		FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[]) AS it`,
		id, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], columns[6], columns[7])
	return err
}
