package dispatch

import (
	"crypto/sha256"

	"github.com/batholith/batholith"
)

// keptAnswers bounds the answers that are kept for records to come, of all jobs together, in bytes.
const keptAnswers = 8 << 20

// digest names a modelInput of a job.
type digest [sha256.Size]byte

func digestOf(job string, input []byte) digest {
	h := sha256.New()
	h.Write([]byte(job))
	h.Write([]byte{0})
	h.Write(input)
	return digest(h.Sum(nil))
}

// twins are records of a job with the same modelInput, byte for byte, whose answer is the same whenever it is asked for: one is sent,
// and all are answered. The others are with it wherever it is; they are asked on their own only when it ends with an error.
type twins struct {
	asked map[digest]*item // that are ready, waiting or in flight
}

// join makes a record the twin of one that is to be asked already, or is that one from now on. The caller holds queue.mu.
func (t *twins) join(it *item) (joined bool) {
	if first := t.asked[it.same]; first != nil {
		first.twins = append(first.twins, it)
		return true
	}
	if t.asked == nil {
		t.asked = map[digest]*item{}
	}
	t.asked[it.same] = it
	return false
}

// leave takes a record's twins from it: it has its outcome.
func (t *twins) leave(it *item) []*item {
	others := it.twins
	it.twins = nil
	if t.asked[it.same] == it {
		delete(t.asked, it.same)
	}
	return others
}

// answers remembers what was answered to records that may have twins further on, the oldest forgotten first.
type answers struct {
	known map[digest]batholith.Answer
	order []digest
	bytes int
}

func (a *answers) put(d digest, answer batholith.Answer) {
	if _, ok := a.known[d]; ok || len(answer.Output) > keptAnswers/8 {
		return
	}
	if a.known == nil {
		a.known = map[digest]batholith.Answer{}
	}
	a.known[d] = answer
	a.order = append(a.order, d)
	for a.bytes += cost(answer); a.bytes > keptAnswers; a.order = a.order[1:] {
		a.bytes -= cost(a.known[a.order[0]])
		delete(a.known, a.order[0])
	}
}

func cost(a batholith.Answer) int { return len(a.Output) + 128 }

// sort divides the records of a chunk: those to ask, and those whose answer is known. Twins of others are with them.
// The caller holds queue.mu.
func (f *feed) sort(items []*item) (ask, known []*item) {
	if !f.d.o.Reuse {
		return items, nil
	}
	for _, it := range items {
		if !it.prompt.Fixed {
			ask = append(ask, it)
			continue
		}
		it.same = digestOf(f.job.ID, it.input)
		if _, ok := f.queue.answers.known[it.same]; ok {
			known = append(known, it)
		} else if !f.twins.join(it) {
			ask = append(ask, it)
		}
	}
	return ask, known
}

// share answers the twins of a record that was answered, and has the first of them asked when it was not.
func (f *feed) share(it *item, a batholith.Answer, failed bool) {
	if !f.d.o.Reuse || !it.prompt.Fixed {
		return
	}
	q := f.queue
	q.mu.Lock()
	if it.term.Err() != nil { // they were let go with their chunks
		q.mu.Unlock()
		return
	}
	others := f.twins.leave(it)
	if !failed {
		q.answers.put(it.same, a)
		f.flying += len(others)
	} else if len(others) > 0 {
		others[0].twins = others[1:]
		f.twins.join(others[0])
		f.ready.back(others[0])
		q.wake()
		others = nil
	}
	q.mu.Unlock()
	for _, twin := range others {
		f.repeat(twin, a)
	}
}

// repeat ends a record, which is in flight, with the answer of another. It took nothing.
func (f *feed) repeat(it *item, a batholith.Answer) {
	a.Tokens = batholith.Tokens{}
	if !f.begin(f.d.send) || f.d.add(f.outcome(it, batholith.OutcomeAnswer, a, nil)) != nil {
		f.drop(it)
		return
	}
	f.concludes(it, batholith.Tokens{}, true)
}
