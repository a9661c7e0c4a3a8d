package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

func (b *bench) title() string {
	pubs, subs := plural(b.pubs, "publisher"), plural(b.subs, "subscriber")
	if b.request {
		pubs, subs = plural(b.pubs, "requester"), plural(b.subs, "responder")
	}
	return fmt.Sprintf("%s, %s, %s messages of %s bytes on %s", pubs, subs, thousands(int64(b.msgs)), thousands(int64(b.size)), b.subject)
}

// progress shows how far it is, on one line of a terminal, until the function it returns is
// called.
func (p *program) progress(c *invocation, b *bench) (ended func()) {
	if c.Bool("no-progress") || !isTerminal(p.stderr) {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(progressPeriod)
		defer ticker.Stop()
		began, before, last := time.Now(), int64(0), time.Now()
		for {
			select {
			case <-quit:
				fmt.Fprint(p.stderr, "\r\x1b[K")
				return
			case now := <-ticker.C:
				count, of := b.received.Load(), b.want
				if of == 0 {
					count, of = b.published.Load(), int64(b.msgs)
				}
				speed := float64(count-before) / now.Sub(last).Seconds()
				fmt.Fprintf(p.stderr, "\r%3d %%  %s messages  %s/s  %ds\x1b[K", 100*count/of, thousands(count), thousands(int64(speed)), int(now.Sub(began).Seconds()))
				before, last = count, now
			}
		}
	}()
	return func() { close(quit); <-done }
}

func (b *bench) print(p *program) {
	line := func(what string, count int64, took time.Duration) {
		seconds := took.Seconds()
		fmt.Fprintf(p.stdout, "%-10s %12s msgs/s  %10s  in %s\n", what, thousands(int64(float64(count)/seconds)),
			volume(float64(count)*float64(b.size)/seconds)+"/s", roundDuration(took))
	}
	if b.request {
		line("answered", b.received.Load(), b.subTook)
	} else {
		line("published", b.published.Load(), b.pubTook)
		if b.want > 0 {
			line("received", b.received.Load(), b.subTook)
		}
	}
	all := b.latency()
	if all.total == 0 {
		if b.want > 0 {
			fmt.Fprintf(p.stdout, "%-10s not measured: bodies below %d bytes have no room for a time\n", "latency", stampBytes)
		}
		return
	}
	fmt.Fprintf(p.stdout, "%-10s p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n", "latency", roundDuration(all.percentile(0.5)),
		roundDuration(all.percentile(0.9)), roundDuration(all.percentile(0.99)), roundDuration(all.percentile(0.999)), roundDuration(all.max))
}

// latency is what all have measured.
func (b *bench) latency() *histogram {
	all := new(histogram)
	for _, h := range b.latencies {
		all.merge(h)
	}
	return all
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(int64(n)) + " " + what + "s"
}

// perSecond shows a rate, a slow one with a decimal: a sensor that speaks once a second is not silent.
func perSecond(rate float64) string {
	if rate > 0 && rate < 9.95 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return thousands(int64(math.Round(rate)))
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// volume writes bytes with three digits and a unit.
func volume(bytes float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if bytes < 999.5 { // above, %g would write 1e+03
			return fmt.Sprintf("%.3g %s", bytes, unit)
		}
		bytes /= 1024
	}
	return fmt.Sprintf("%.3g GiB", bytes)
}

// roundDuration leaves three digits or so.
func roundDuration(d time.Duration) string {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
}
