package results

import (
	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/memory"
)

// untried writes error lines for records that were never sent. When a batch is cancelled or expires, OpenAI's error file has a line for each of
// them, in the order of the input. Only the final publication writes these lines.
//
// Only the input has the ids of these records, so it is read again, one line in memory at a time. If the input is gone or has changed, the id in
// the lines is null. The number of lines depends only on the job's counters. The memory of the longest line is reserved in the memory budget.
type untried struct {
	w             *outputs
	code, message string
	next          int64 // the first record of the current file that was not handled yet
	chunk         int   // chunk of the last outcome in this file; -1: none yet

	in   *blob.Reader // nil: not open
	scan *jsonl.Scanner
	at   int64 // the record that scan reads next
	room *memory.Hold
	lost bool // the input of this file cannot be read
}

// farRecords is the least number of records that is skipped by a new read from a later chunk. Fewer are read and dropped.
const farRecords = 4096

// untriedLine is the largest size of a line in bytes, without the id.
const untriedLine = 512

// newUntried returns nil if the output has no such lines. The methods of a nil untried do nothing.
func newUntried(w *outputs) *untried {
	u := &untried{w: w, room: w.p.closing.Hold()}
	u.code, u.message = w.job.Status.Untried()
	if !w.final || w.job.OutputLines != batholith.LinesOpenAI || u.code == "" || w.job.Counts.Processed >= w.job.Counts.Total {
		return nil
	}
	return u
}

// begin starts a file. finish was called for the file before it.
func (u *untried) begin() {
	if u != nil {
		u.next, u.chunk, u.lost = 0, -1, false
	}
}

// before writes the lines of the records between the last outcome and this one.
func (u *untried) before(o *batholith.Outcome) error {
	if u == nil {
		return nil
	}
	if err := u.until(o.Key.Record); err != nil {
		return err
	}
	u.next, u.chunk = o.Key.Record+1, o.Chunk
	return nil
}

// finish writes the lines of the records after the last outcome of the file.
func (u *untried) finish() error {
	if u == nil {
		return nil
	}
	err := u.until(u.w.files[u.w.number].Records)
	u.close()
	return err
}

// until writes the lines of the records from next up to, but not including, record.
func (u *untried) until(record int64) error {
	for ; u.next < record; u.next++ {
		id, err := u.id()
		if err != nil {
			return err
		}
		w := u.w
		w.text = jsonl.AppendUntried(w.text[:0], w.job.ID, batholith.RecordKey{File: w.number, Record: u.next}, id, u.code, u.message)
		if err := w.errorLine(w.text); err != nil {
			return err
		}
		w.errors.entry.Untried++
		failpoint.Here("results.untried")
	}
	return nil
}

// id returns the id of the record next. It is nil if the input has changed since its validation, or cannot be read any more.
func (u *untried) id() ([]byte, error) {
	if u.lost {
		return nil, nil
	}
	err := u.seek()
	for err == nil {
		if !u.scan.Next() {
			if err = u.scan.Err(); err == nil {
				err = batholith.ErrObjectChanged // at validation the file had more records
			}
			break
		}
		if u.scan.Problem() != nil {
			err = batholith.ErrObjectChanged
			break
		}
		if u.at++; u.at <= u.next {
			continue
		}
		l := u.scan.Line()
		if l.ID == nil {
			return []byte(jsonl.MakeID(u.w.job.ID, u.w.number, l.N)), nil
		}
		return l.ID, nil
	}
	if !blob.Permanent(err) {
		return nil, err
	}
	u.close()
	u.lost = true
	u.w.p.o.Log.Warn("the input of a job cannot be read again: the lines of its records that were never tried have no custom_id", "job", u.w.job.ID, "object", u.w.files[u.w.number].Key, "err", err)
	return nil, nil
}

// seek opens the input. If the next record is at least farRecords ahead, it opens the input at the chunk of the last outcome instead of reading
// up to there. After such a jump the numbers of lines are unknown. Lines in Bedrock's form may need them for an id, so it never jumps there.
func (u *untried) seek() error {
	f := u.w.files[u.w.number]
	if u.in != nil && u.next-u.at < farRecords {
		return nil
	}
	var from batholith.Chunk
	if u.chunk >= 0 && u.w.job.InputLines == batholith.LinesOpenAI && u.next-u.at >= farRecords {
		found, err := u.w.p.o.Store.ChunksOf(u.w.ctx, u.w.job.ID, []int{u.chunk})
		if err != nil {
			return err
		}
		if len(found) == 1 && found[0].File == u.w.number && found[0].First > u.at {
			from = found[0]
		}
	}
	if u.in != nil && from.First == 0 {
		return nil
	}
	u.close()
	if err := u.room.Reserve(u.w.ctx, min(f.Bytes, jsonl.MaxLineBytes)); err != nil {
		return err
	}
	u.in = blob.NewReader(u.w.ctx, u.w.place.Input, f.Key, f.ETag, from.Offset, f.Bytes-from.Offset)
	u.scan, u.at = jsonl.NewScannerOf(u.in, u.w.job.InputLines), from.First
	return nil
}

// close closes the input.
func (u *untried) close() {
	if u == nil || u.in == nil {
		return
	}
	_ = u.in.Close() // it was only read
	u.in, u.scan, u.at = nil, nil, 0
	u.room.Release()
}
