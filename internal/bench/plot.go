package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/batholith/batholith/internal/simlm"
)

// plotted maps loads to the names of their plots.
var plotted = map[string]string{
	"64 slots, gauges":              "64-gauges",
	"64 slots, nothing told":        "64-nothing",
	"256 slots, gauges":             "256-gauges",
	"256 slots, nothing told":       "256-nothing",
	"64→256→64 slots, gauges":       "changing-gauges",
	"64→256→64 slots, nothing told": "changing-nothing",
}

// plotAll writes SVG plots of running and waiting requests over time, if -plots is set.
func (b *bench) plotAll(loads []*load) error {
	if b.plots == "" {
		return nil
	}
	if err := os.MkdirAll(b.plots, 0o755); err != nil {
		return err
	}
	for _, l := range loads {
		if file, ok := plotted[l.name]; ok {
			if err := os.WriteFile(filepath.Join(b.plots, file+".svg"), plot(l.name, l.stats[0].Series), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// Size and margins of a plot, in pixels.
const (
	plotWidth, plotHeight = 720, 240
	plotLeft, plotRight   = 46, 10
	plotTop, plotBottom   = 34, 28
)

// plot draws a series: the slots as a dashed line, the running requests, and those in flight (running or waiting).
func plot(title string, s *simlm.Series) []byte {
	most := 1
	flying := make([]int, len(s.Running))
	for i := range s.Running {
		flying[i] = s.Running[i] + s.Waiting[i]
		most = max(most, flying[i], s.Slots[i])
	}
	tick := niceTick(float64(most) / 4)
	top := tick * float64(1+int(float64(most)/tick))
	seconds := float64(len(s.Running)) * s.Interval
	x := func(i int) float64 {
		return plotLeft + (plotWidth-plotLeft-plotRight)*float64(i)*s.Interval/seconds
	}
	y := func(v float64) float64 { return plotHeight - plotBottom - (plotHeight-plotTop-plotBottom)*v/top }
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="11">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", plotWidth, plotHeight)
	text := func(x, y float64, anchor, color, text string) {
		fmt.Fprintf(&out, `<text x="%.0f" y="%.0f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, color, text)
	}
	text(plotLeft, 14, "start", "#000000", title)
	for i, c := range []struct{ name, color string }{{"in flight", inFlightColor}, {"running", runningColor}, {"slots", slotsColor}} {
		text(float64(plotWidth-plotRight-150+55*i), 14, "start", c.color, c.name)
	}
	for v := 0.0; v <= top; v += tick {
		fmt.Fprintf(&out, `<path d="M%d %.1fH%d" stroke="#dddddd"/>`+"\n", plotLeft, y(v), plotWidth-plotRight)
		text(plotLeft-5, y(v)+4, "end", "#444444", fmt.Sprintf("%.0f", v))
	}
	for t, every := 0.0, niceTick(seconds/8); t <= seconds; t += every {
		text(x(int(t/s.Interval)), plotHeight-10, "middle", "#444444", fmt.Sprintf("%.0f s", t))
	}
	line := func(values []int, style string) {
		fmt.Fprintf(&out, `<polyline fill="none" %s points="%s"/>`+"\n", style, points(values, x, y))
	}
	line(flying, `stroke-width="1.2" stroke="`+inFlightColor+`"`)
	line(s.Running, `stroke-width="1.2" stroke="`+runningColor+`"`)
	line(s.Slots, `stroke-width="1" stroke-dasharray="5 4" stroke="`+slotsColor+`"`)
	out.WriteString("</svg>\n")
	return out.Bytes()
}

const (
	inFlightColor = "#d95f02"
	runningColor  = "#1b6ca8"
	slotsColor    = "#444444"
)

// points are the points of a polyline, without those between equal neighbours.
func points(values []int, x func(int) float64, y func(float64) float64) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 && i < len(values)-1 && values[i-1] == v && values[i+1] == v {
			continue
		}
		fmt.Fprintf(&b, "%.1f,%.1f ", x(i), y(float64(v)))
	}
	return strings.TrimSpace(b.String())
}

// niceTick is the first of 1, 2, 5, 10, 20, … that is at least x.
func niceTick(x float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, f := range []float64{1, 2, 5} {
			if f*unit >= x {
				return f * unit
			}
		}
	}
}
