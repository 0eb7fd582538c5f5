package results

import (
	"context"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Store is what the way of an outcome into a job's account asks of the database.
type Store interface {
	Segments
	Uploads
	// Commit applies c as one transaction, or refuses it with a *batholith.StaleError or batholith.ErrSealed. After any
	// other error it may have been applied. Repeating a commit that was applied changes nothing and is no error.
	Commit(ctx context.Context, c batholith.Commit) (batholith.Counts, error)
	// ChunksOf returns those of the job's chunks that have these numbers. A job may have a million chunks, so nobody asks for all.
	ChunksOf(ctx context.Context, job string, numbers []int) ([]batholith.Chunk, error)
}

// Segments is a job's list of committed segments.
type Segments interface {
	Segments(ctx context.Context, job string) ([]batholith.Segment, error)
	// ReplaceSegments puts a run in the place of the segments it was merged from, or changes nothing when one is gone.
	// Repeating one that was applied changes nothing and is no error. While a publisher may be reading the old ones, read is true.
	ReplaceSegments(ctx context.Context, job string, old []string, run batholith.Segment) (read bool, err error)
}

// Uploads remembers multipart uploads across crashes.
type Uploads interface {
	// PutUpload refuses an upload of a publication under another epoch than the job's: batholith.ErrHeld.
	PutUpload(ctx context.Context, u batholith.Upload) error
	Uploads(ctx context.Context, job string) ([]batholith.Upload, error)
	DeleteUpload(ctx context.Context, u batholith.Upload) error
}

// Opener opens the buckets of a job as its role reaches them.
type Opener func(ctx context.Context, job string) (blob.Place, error)

// hidden is the folder below a job's prefix for all that is not output. Clean deletes it.
const hidden = batholith.InternalFolder + "/"

// segmentFolder is where segments and runs lie below a job's prefix.
const segmentFolder = hidden + "segments/"
