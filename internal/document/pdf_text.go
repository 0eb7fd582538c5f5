package document

import (
	"math"
	"regexp"
	"strings"

	"github.com/ledongthuc/pdf"
)

// pdfText reads the text of pages in the order in which the pages draw it. A PDF has no words and
// lines, only strings at positions. With d, the distance from the end of the last string, in units
// of the font's size, along the direction of writing (x) and across it (y):
//
//	|d.y| > 0.5             a new line
//	d.x > 0.15 or < −0.5    a space
type pdfText struct {
	limits           Limits
	read             int64 // decompressed bytes so far
	size             int   // bytes of text so far
	mapped, unmapped int   // characters that could be read, and that could not
	drawings         int   // forms that were drawn so far
	fonts            map[string]*pdfFont

	out   strings.Builder
	drawn bool    // a string was drawn on this page
	x, y  float64 // where the last string ended
	end   byte    // the last byte of the page's text so far; a line feed if there is none
	forms int     // the forms that are being drawn, one in another
}

const (
	lineGap  = 0.5
	wordGap  = 0.15
	backGap  = -0.5
	maxForms = 12 // how deep forms may contain each other
)

// spaces are spaces before the end of a line.
var spaces = regexp.MustCompile(` +\n`)

// matrix is an affine transformation: x' = a·x + c·y + e, y' = b·x + d·y + f.
type matrix struct{ a, b, c, d, e, f float64 }

var unitMatrix = matrix{a: 1, d: 1}

// times returns the transformation that applies m first and then n.
func (m matrix) times(n matrix) matrix {
	return matrix{
		m.a*n.a + m.b*n.c, m.a*n.b + m.b*n.d,
		m.c*n.a + m.d*n.c, m.c*n.b + m.d*n.d,
		m.e*n.a + m.f*n.c + n.e, m.e*n.b + m.f*n.d + n.f,
	}
}

// moved returns m after a translation.
func (m matrix) moved(x, y float64) matrix { return matrix{1, 0, 0, 1, x, y}.times(m) }

// graphics is the state that operators change (PDF 32000-1: 9.3).
type graphics struct {
	ctm                     matrix
	font                    *pdfFont
	size, char, word, scale float64 // Tfs, Tc, Tw, Th
	leading, rise           float64 // Tl, Trise
	text, line              matrix  // Tm, Tlm
}

// placed returns the transformation from a glyph to the page (PDF 32000-1: 9.4.4).
func (g *graphics) placed() matrix {
	return matrix{g.size * g.scale, 0, 0, g.size, 0, g.rise}.times(g.text).times(g.ctm)
}

// page returns the text of a page.
func (t *pdfText) page(p pdfPage) (string, error) {
	t.out.Reset()
	t.drawn, t.end, t.forms = false, '\n', 0
	err := t.draw(p.content, p.resources, unitMatrix)
	text := strings.TrimSpace(spaces.ReplaceAllString(clean(t.out.String()), "\n"))
	if t.size += len(text); err == nil && t.size > t.limits.Text {
		err = tooLong(t.limits.Text)
	}
	return text, err
}

// draw reads the content of a page or a form.
func (t *pdfText) draw(content, resources pdf.Value, ctm matrix) error {
	data, err := t.content(content)
	if err != nil {
		return err
	}
	s := stage{t: t, resources: resources, fonts: map[string]*pdfFont{}}
	s.now = graphics{ctm: ctm, scale: 1, text: unitMatrix, line: unitMatrix}
	return (&lexer{data: data, most: maxOperands}).operators(s.operator)
}

// stage is the drawing of one content with its resources.
type stage struct {
	t         *pdfText
	resources pdf.Value
	fonts     map[string]*pdfFont // by name in the resources
	now       graphics
	saved     []graphics
}

// maxSaved is how often the state may be saved without being restored.
const maxSaved = 256

// numbers returns the last n operands as numbers; missing ones are 0.
func numbers(args []operand, n int) [6]float64 {
	var f [6]float64
	for i := range n {
		if at := len(args) - n + i; at >= 0 {
			f[i] = args[at].number
		}
	}
	return f
}

// operator executes one operator. Those that do not move or draw text are ignored.
func (s *stage) operator(op string, args []operand) error {
	g := &s.now
	switch op {
	case "q":
		if len(s.saved) < maxSaved {
			s.saved = append(s.saved, *g)
		}
	case "Q":
		if n := len(s.saved); n > 0 {
			*g, s.saved = s.saved[n-1], s.saved[:n-1]
		}
	case "cm":
		f := numbers(args, 6)
		g.ctm = matrix{f[0], f[1], f[2], f[3], f[4], f[5]}.times(g.ctm)
	case "Do":
		return s.form(last(args))
	case "BT":
		g.text, g.line = unitMatrix, unitMatrix
	case "Tf":
		f := numbers(args, 1)
		g.size = f[0]
		if len(args) > 1 {
			var err error
			if g.font, err = s.font(args[len(args)-2].text); err != nil {
				return err
			}
		}
	case "Tc":
		g.char = numbers(args, 1)[0]
	case "Tw":
		g.word = numbers(args, 1)[0]
	case "Tz":
		g.scale = numbers(args, 1)[0] / 100
	case "TL":
		g.leading = numbers(args, 1)[0]
	case "Ts":
		g.rise = numbers(args, 1)[0]
	case "Td":
		f := numbers(args, 2)
		s.move(f[0], f[1])
	case "TD":
		f := numbers(args, 2)
		g.leading = -f[1]
		s.move(f[0], f[1])
	case "T*":
		s.move(0, -g.leading)
	case "Tm":
		f := numbers(args, 6)
		g.line = matrix{f[0], f[1], f[2], f[3], f[4], f[5]}
		g.text = g.line
	case "Tj":
		s.show(last(args).text)
	case "TJ":
		s.pieces(last(args).list)
	case "'":
		s.move(0, -g.leading)
		s.show(last(args).text)
	case `"`:
		if len(args) >= 3 {
			g.word, g.char = args[len(args)-3].number, args[len(args)-2].number
		}
		s.move(0, -g.leading)
		s.show(last(args).text)
	}
	if s.t.out.Len() > s.t.limits.Text {
		return tooLong(s.t.limits.Text)
	}
	return nil
}

// last returns the last operand.
func last(args []operand) operand {
	if len(args) == 0 {
		return operand{}
	}
	return args[len(args)-1]
}

// move begins a line at an offset from the beginning of the current one.
func (s *stage) move(x, y float64) {
	s.now.line = s.now.line.moved(x, y)
	s.now.text = s.now.line
}

// pieces shows strings with distances between them, in thousandths of the font's size.
func (s *stage) pieces(list []operand) {
	g := &s.now
	for _, o := range list {
		switch o.kind {
		case stringOperand:
			s.show(o.text)
		case numberOperand:
			g.text = g.text.moved(-o.number/1000*g.size*g.scale, 0)
		}
	}
}

// show draws a string and moves the position behind it.
func (s *stage) show(raw string) {
	g, t := &s.now, s.t
	if g.font == nil || raw == "" {
		return
	}
	t.separate(g.placed())
	width := 0.0
	for code, n := range g.font.codes(raw) {
		text, ok := g.font.text(code)
		if ok {
			t.mapped += len(strings.TrimSpace(text))
		} else {
			t.unmapped++
		}
		t.write(text)
		advance := g.font.width(code)*g.size + g.char
		if n == 1 && code == ' ' {
			advance += g.word
		}
		width += advance * g.scale
	}
	g.text = g.text.moved(width, 0)
	end := g.placed()
	t.x, t.y, t.drawn = end.e, end.f, true
}

// separate writes white space before a string that is drawn at m, if the distance from the end of
// the last one asks for it.
func (t *pdfText) separate(m matrix) {
	along := math.Hypot(m.a, m.b)  // length of the font's size on the page, in the direction of writing
	across := math.Hypot(m.c, m.d) // and across it
	if !t.drawn || along == 0 || across == 0 || t.end == '\n' {
		return
	}
	dx, dy := m.e-t.x, m.f-t.y
	right := (dx*m.a + dy*m.b) / (along * along)
	up := (dy*m.a - dx*m.b) / (along * across)
	switch {
	case math.Abs(up) > lineGap:
		t.write("\n")
	case t.end != ' ' && (right > wordGap || right < backGap):
		t.write(" ")
	}
}

// write appends text.
func (t *pdfText) write(text string) {
	if text == "" {
		return
	}
	t.out.WriteString(text)
	t.end = text[len(text)-1]
}

// form draws an object of the resources, if it is content of its own.
func (s *stage) form(name operand) error {
	v := s.resources.Key("XObject").Key(name.text)
	if v.Kind() != pdf.Stream || v.Key("Subtype").Name() != "Form" || s.t.forms >= maxForms {
		return nil
	}
	if s.t.drawings++; s.t.drawings > s.t.limits.Forms {
		return unreadable("draws more than %d forms; print it to a new PDF, or give its text", s.t.limits.Forms)
	}
	s.t.forms++
	defer func() { s.t.forms-- }()
	resources := v.Key("Resources")
	if resources.IsNull() {
		resources = s.resources
	}
	ctm := s.now.ctm
	if m := v.Key("Matrix"); m.Len() == 6 {
		f := func(i int) float64 { return m.Index(i).Float64() }
		ctm = matrix{f(0), f(1), f(2), f(3), f(4), f(5)}.times(ctm)
	}
	return s.t.draw(v, resources, ctm)
}

// font returns a font of the resources. Fonts are kept for all pages.
func (s *stage) font(name string) (*pdfFont, error) {
	if f, ok := s.fonts[name]; ok {
		return f, nil
	}
	v := s.resources.Key("Font").Key(name)
	id := v.String() // the dictionary with its references
	f, ok := s.t.fonts[id]
	if !ok {
		cmap, err := s.t.content(v.Key("ToUnicode"))
		if err != nil {
			return nil, err
		}
		f = newPDFFont(v, cmap)
		s.t.fonts[id] = f
	}
	s.fonts[name] = f
	return f, nil
}
