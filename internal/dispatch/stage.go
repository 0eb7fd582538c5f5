package dispatch

import (
	"context"
	"slices"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// Records whose bodies name objects in S3 wait on a stage before the lanes, until their objects can be read. So no slot waits for the bucket,
// and while the bucket has a fault the records wait there, uncounted. Nothing of it is on disk: after a crash the chunk is claimed again.
//
//	waiting → loading → window (walk) → in flight
//	   ↑                                   │ the object broke off while it was sent, or the record is sent again
//	   └───────────────────────────────────┘
const (
	loadsAtOnce = 16      // records of a job whose objects are read in parallel
	mostLoads   = 64      // objects that are read in parallel for all jobs together
	leastAhead  = 16      // loaded records that may wait for a slot; with more slots, two for each
	keptMedia   = 8 << 20 // bytes of objects that are kept for the next records, when no record has them
	mediaFloor  = 8 << 20 // bytes of a model's objects that never wait for memory
)

// stage is the part of a feed for records with objects. It is guarded by queue.mu.
type stage struct {
	waiting []*item
	loading int // records whose objects are being read
	ahead   int // loaded records in the window
	objects map[string]*attachment
	kept    []string // ids of objects that no record has, in the order in which they were left
	bytes   int64    // of the kept objects
}

// size is the number of records on the stage.
func (s *stage) size() int { return len(s.waiting) + s.loading }

// stageAll puts the records that name objects on the stage, and returns the others. The caller holds queue.mu.
func (f *feed) stageAll(items []*item) (plain []*item) {
	if !slices.ContainsFunc(items, func(it *item) bool { return len(it.places) > 0 }) {
		return items
	}
	for _, it := range items {
		if len(it.places) > 0 {
			f.media.waiting = append(f.media.waiting, it)
		} else {
			plain = append(plain, it)
		}
	}
	f.pump()
	return plain
}

// pump starts to load records, as many as may be ahead of the lanes. The caller holds queue.mu.
func (f *feed) pump() {
	s := &f.media
	most := max(leastAhead, 2*f.queue.slots())
	for len(s.waiting) > 0 && s.loading < loadsAtOnce && s.loading+s.ahead < most {
		it := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		if it.over() {
			continue
		}
		s.loading++
		f.d.wg.Go(func() { f.loadItem(it) })
	}
}

// loadItem reads a record's objects, and gives the record to the lanes or ends it with an error line.
func (f *feed) loadItem(it *item) {
	ctx, cancel := context.WithCancelCause(it.term)
	defer cancel(nil)
	defer context.AfterFunc(f.d.take, func() { cancel(batholith.ErrShutdown) })()
	objects, refused, err := f.gather(ctx, it)
	q := f.queue
	q.mu.Lock()
	f.media.loading--
	it.objects = objects
	ends := false
	switch {
	case err != nil || it.over(): // the record is dropped
		f.unload(it)
	case refused != nil:
		ends = true
		f.flying++
		f.unload(it)
	default:
		size := len(it.input)
		for _, o := range objects {
			size += int(o.bytes)
		}
		it.class = f.d.classes.of(class{path: it.class.path, features: it.class.features, band: bandOf(size)})
		f.media.ahead++
		f.ready.late(it)
		q.wake()
	}
	f.pump()
	f.nudge()
	q.mu.Unlock()
	if ends {
		f.refuse(it, refused)
	}
}

// refuse ends a record that counts as in flight with an error line, without sending it.
func (f *feed) refuse(it *item, e *batholith.RecordError) {
	if !f.begin(f.d.send) || f.d.add(f.outcome(it, batholith.OutcomeInvalid, batholith.Answer{}, e)) != nil {
		f.drop(it)
		return
	}
	f.notes(e)
	f.judges(it, batholith.OutcomeInvalid, e)
	f.share(it, batholith.Answer{}, true)
	f.concludes(it, it.wasted, false)
}

// restage puts a record in flight back on the stage, as if it had not been taken: its objects must be read first, or again.
func (f *feed) restage(it *item) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lands(it, 0)
	f.unload(it)
	if !it.over() {
		f.media.waiting = slices.Insert(f.media.waiting, 0, it)
		f.pump()
	}
}

// unload takes its objects from a record. The caller holds queue.mu.
func (f *feed) unload(it *item) {
	for i, o := range it.objects {
		f.media.leave(objectID(it.places[i]), o, it.term.Err() == nil)
	}
	it.objects = nil
}

// objectID tells the objects of a stage apart. The format is in it, because the object was compared with it.
func objectID(place dialect.Location) string {
	return place.Kind + " " + place.Format + " " + place.Owner + " " + place.URI
}

// have counts a record among those that have an object. first: the caller must read it.
func (s *stage) have(q *queue, id string) (o *attachment, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o = s.objects[id]
	if o == nil {
		if s.objects == nil {
			s.objects = map[string]*attachment{}
		}
		o, first = &attachment{ready: make(chan struct{}), hold: q.media.Hold()}, true
		s.objects[id] = o
	}
	if i := slices.Index(s.kept, id); o.refs == 0 && i >= 0 {
		s.kept = slices.Delete(s.kept, i, i+1)
		s.bytes -= o.bytes
	}
	o.refs++
	return o, first
}

// forget makes the next record read the object again.
func (s *stage) forget(q *queue, id string, o *attachment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.objects[id] == o {
		delete(s.objects, id)
	}
}

// leave takes one record from those that have an object. With keep, an object in memory stays for the next records. The caller holds queue.mu.
func (s *stage) leave(id string, o *attachment, keep bool) {
	if o.refs--; o.refs > 0 {
		return
	}
	if s.objects[id] != o || o.data == nil || !keep {
		s.free(id, o)
		return
	}
	s.kept = append(s.kept, id)
	for s.bytes += o.bytes; s.bytes > keptMedia; {
		s.freeOldest()
	}
}

// freeOldest frees the kept object that was left first. The caller holds queue.mu.
func (s *stage) freeOldest() {
	id := s.kept[0]
	s.kept = s.kept[1:]
	s.bytes -= s.objects[id].bytes
	s.free(id, s.objects[id])
}

// free returns an object's memory. The caller holds queue.mu.
func (s *stage) free(id string, o *attachment) {
	if s.objects[id] == o {
		delete(s.objects, id)
	}
	o.data = nil
	o.hold.Release()
}

// clearStage drops the records on the stage and the kept objects. Records in flight keep theirs. The caller holds queue.mu.
func (f *feed) clearStage() {
	s := &f.media
	for _, it := range f.ready.items {
		f.unload(it)
	}
	s.waiting, s.ahead = nil, 0
	for len(s.kept) > 0 {
		s.freeOldest()
	}
}
