package results

import (
	"context"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Store is the part of the database that a Writer uses.
type Store interface {
	Segments
	Uploads
	// Commit applies c in one transaction, or refuses it with a *batholith.StaleError or batholith.ErrSealed. After any
	// other error it may have been applied. To repeat an applied commit changes nothing and is no error. It returns the job's counters.
	Commit(ctx context.Context, c batholith.Commit) (batholith.Counts, error)
	// ChunksOf returns the job's chunks with these numbers. A job may have a million chunks, so there is no method that returns all.
	ChunksOf(ctx context.Context, job string, numbers []int) ([]batholith.Chunk, error)
}

// Segments is the part of the database with the committed segments of jobs.
type Segments interface {
	// Segments returns all segments of a job.
	Segments(ctx context.Context, job string) ([]batholith.Segment, error)
	// ReplaceSegments replaces segments by the run that was merged from them. It changes nothing and fails if one of them does not exist. To
	// repeat an applied call changes nothing and is no error. read is true if a publisher may still read the old segments.
	ReplaceSegments(ctx context.Context, job string, old []string, run batholith.Segment) (read bool, err error)
}

// Uploads is the part of the database with the open multipart uploads of jobs.
type Uploads interface {
	// PutUpload stores an upload. It returns batholith.ErrHeld if the upload belongs to a publication and its epoch is not the job's present one.
	PutUpload(ctx context.Context, u batholith.Upload) error
	// Uploads returns the stored uploads of a job.
	Uploads(ctx context.Context, job string) ([]batholith.Upload, error)
	// DeleteUpload deletes an upload that was completed or aborted.
	DeleteUpload(ctx context.Context, u batholith.Upload) error
}

// Opener opens the buckets of a job with the rights of its role.
type Opener func(ctx context.Context, job string) (blob.Place, error)

// hidden is the folder below a job's prefix for temporary objects. Clean deletes it.
const hidden = batholith.InternalFolder + "/"

// segmentFolder is the folder of segments and runs below a job's prefix.
const segmentFolder = hidden + "segments/"
