package gitcommit

import (
	"context"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit/edit"
)

const (
	// batchTimeout bounds the making of one commit, with all repetitions.
	batchTimeout = 5 * time.Minute
	// mostJobs is how many firings go into one commit.
	mostJobs = 500
)

// job is a firing in a queue.
type job struct {
	plan   *plan
	remote *gitrepo.Remote
	env    trigger.Env
	since  time.Time
	done   chan answer // holds one

	// batch is what the job is worked on with; nil while it waits. It belongs to the queue's lock.
	batch *batch

	// What follows belongs to the batch.
	answered bool
	claimed  map[string]bool // targets
	edits    []edit.Edit     // of this round
}

type answer struct {
	result trigger.Result
	err    error
}

func (j *job) answer(r trigger.Result, err error) {
	if !j.answered {
		j.answered = true
		j.done <- answer{r, err}
	}
}

// queue has the firings that go to one branch of a repository. They are worked on
// in batches, one batch at a time. Its goroutine lives while there are jobs.
type queue struct {
	mu      sync.Mutex
	waiting []*job
	running bool
	wake    chan struct{} // for a change of waiting; holds one
	wg      sync.WaitGroup
}

// do puts a job into the queue and waits for its answer. If ctx is done before, the
// job is taken out, or the batch goes on without anybody who waits for it, and
// ends when that is so for all of its jobs.
func (q *queue) do(ctx context.Context, j *job) (trigger.Result, error) {
	q.mu.Lock()
	j.since = time.Now()
	q.waiting = append(q.waiting, j)
	if !q.running {
		q.running, q.wake = true, make(chan struct{}, 1)
		q.wg.Go(q.run)
	}
	q.notify()
	q.mu.Unlock()
	select {
	case a := <-j.done:
		q.leave(j)
		return a.result, a.err
	case <-ctx.Done():
		q.leave(j)
		return trigger.Result{}, ctx.Err()
	}
}

func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (q *queue) leave(j *job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := j.batch; b != nil {
		if b.left++; b.left == b.size {
			b.cancel()
		}
		return
	}
	for i, other := range q.waiting {
		if other == j {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			q.notify()
			return
		}
	}
}

// Close waits for the goroutine, after the last do has returned.
func (q *queue) Close() error {
	q.wg.Wait()
	return nil
}

// run works until nothing is left to do.
func (q *queue) run() {
	for {
		b, wait := q.next()
		switch {
		case b != nil:
			b.run()
			b.cancel()
		case wait <= 0:
			return
		default:
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-q.wake:
				timer.Stop()
			}
		}
	}
}

// next takes the jobs of the next commit out of the queue, or tells how long to
// wait for it. Neither means that the queue is empty and its goroutine has to end.
func (q *queue) next() (*batch, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running = false
		return nil, 0
	}
	first := q.waiting[0]
	if wait := time.Until(first.since.Add(first.plan.conf.Window.Duration)); wait > 0 && len(q.waiting) < mostJobs {
		return nil, wait
	}
	b := &batch{}
	b.ctx, b.cancel = context.WithTimeout(context.Background(), batchTimeout)
	var others []*job
	for _, j := range q.waiting {
		if j.plan.commit != first.plan.commit || len(b.jobs) == mostJobs {
			others = append(others, j)
			continue
		}
		j.batch = b
		b.jobs = append(b.jobs, j)
	}
	q.waiting, b.size = others, len(b.jobs)
	return b, 0
}
