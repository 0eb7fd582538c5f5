package jsonl

// MaxProblems is how many problems are kept in full.
const MaxProblems = 1000

// Problems collects what is wrong with a file: the first MaxProblems in full, of the rest the number. The zero value is empty.
type Problems struct {
	first []Problem
	n     int64
}

// Add takes in one more problem.
func (p *Problems) Add(problem Problem) {
	if p.n++; len(p.first) < MaxProblems {
		p.first = append(p.first, problem)
	}
}

// Len is how many problems were added.
func (p *Problems) Len() int64 { return p.n }

// First returns the problems that were kept, in the order in which they were added. It is at most MaxProblems long.
func (p *Problems) First() []Problem { return p.first }
