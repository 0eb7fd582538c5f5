package main

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// bound is a goal of a figure. The zero value is no goal.
type bound struct {
	at    float64
	least bool // the figure must be at least at; else at most
	asked bool
}

// atMost is the goal of a figure that must not exceed x.
func atMost(x float64) bound { return bound{at: x, asked: true} }

// atLeast is the goal of a figure that must reach x.
func atLeast(x float64) bound { return bound{at: x, least: true, asked: true} }

// met reports whether x reaches the goal.
func (d bound) met(x float64) bool {
	if d.least {
		return x >= d.at
	}
	return x <= d.at
}

// text is the goal as a cell.
func (d bound) text() string {
	sign := "≤"
	switch {
	case !d.asked:
		return ""
	case d.least:
		sign = "≥"
	}
	return fmt.Sprintf("%s %.6g", sign, d.at)
}

// row is one figure.
type row struct {
	what      string
	against   string  // name of the reference: a floor, an ideal, or the same without something
	reference float64 // NaN: none
	ours      float64
	digits    int  // decimals
	ofRatio   bool // goal and stretch apply to the ratio
	goal      bound
	stretch   bound
}

// none is the reference of a row without one.
var none = math.NaN()

// ratio is ours / reference.
func (r *row) ratio() float64 { return r.ours / r.reference }

// verdict is "stretch", "goal" or "MISSED"; "" without a goal.
func (r *row) verdict() string {
	x := r.ours
	if r.ofRatio {
		x = r.ratio()
	}
	switch {
	case r.stretch.asked && r.stretch.met(x):
		return "stretch"
	case !r.goal.asked:
		return ""
	case r.goal.met(x):
		return "goal"
	}
	return "MISSED"
}

// cells are the texts of a row, by column.
func (r *row) cells() [8]string {
	number := func(x float64, digits int) string {
		switch {
		case math.IsNaN(x):
			return ""
		case math.IsInf(x, 1):
			return "never"
		}
		return fmt.Sprintf("%.*f", digits, x)
	}
	goal, stretch := r.goal.text(), r.stretch.text()
	if r.ofRatio && r.goal.asked {
		goal += " ×"
	}
	return [8]string{r.what, r.against, number(r.reference, r.digits), number(r.ours, r.digits), number(r.ratio(), 2), goal, stretch, r.verdict()}
}

var columns = [8]string{"measure", "beside", "that", "ours", "ratio", "goal", "stretch", ""}

// table collects the rows, and prints each when it is added.
type table struct {
	began  time.Time
	rows   []row
	missed int
}

// begin prints the head of the table.
func (t *table) begin() {
	t.began = time.Now()
	t.print(columns)
}

// add prints a row and counts a missed goal.
func (t *table) add(r row) {
	t.rows = append(t.rows, r)
	if r.verdict() == "MISSED" {
		t.missed++
	}
	t.print(r.cells())
}

func (t *table) print(c [8]string) {
	fmt.Printf("%-66s %-22s %9s %9s %7s %9s %9s %s\n", c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7])
}

// end prints the number of rows and of missed goals.
func (t *table) end() {
	fmt.Printf("\n%d figures in %s, %d miss their goal\n", len(t.rows), time.Since(t.began).Round(time.Second), t.missed)
}

// markdown is the table in Markdown.
func (t *table) markdown() []byte {
	var out bytes.Buffer
	line := func(c [8]string) {
		out.WriteString("|")
		for _, cell := range c {
			out.WriteString(" " + cell + " |")
		}
		out.WriteString("\n")
	}
	line(columns)
	out.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n")
	for _, r := range t.rows {
		line(r.cells())
	}
	return out.Bytes()
}
