package limittest

// queue is a binary heap: the least element, by less, is taken first.
type queue[T any] struct {
	all  []T
	less func(a, b *T) bool
}

func (q *queue[T]) push(x T) {
	q.all = append(q.all, x)
	i := len(q.all) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q.less(&q.all[i], &q.all[up]) {
			return
		}
		q.all[i], q.all[up] = q.all[up], q.all[i]
		i = up
	}
}

func (q *queue[T]) pop() T {
	first, last := q.all[0], len(q.all)-1
	q.all[0] = q.all[last]
	q.all = q.all[:last]
	for i := 0; ; {
		least := i
		for down := 2*i + 1; down <= 2*i+2 && down < last; down++ {
			if q.less(&q.all[down], &q.all[least]) {
				least = down
			}
		}
		if least == i {
			return first
		}
		q.all[i], q.all[least] = q.all[least], q.all[i]
		i = least
	}
}
