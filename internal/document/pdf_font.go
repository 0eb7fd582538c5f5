package document

import (
	"iter"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ledongthuc/pdf"
)

// pdfFont maps the codes of a font to text and widths.
type pdfFont struct {
	wide     bool              // codes of two bytes (PDF: composite fonts)
	unicode  map[uint32]string // the font's own table
	encoding pdf.TextEncoding  // of a font with codes of one byte, for codes that are not in the table
	utf16    bool              // the codes are UTF-16
	widths   map[uint32]float64
	missing  float64 // width of codes without one
	unit     float64 // of the widths, in the font's size
}

// newPDFFont reads a font's dictionary. cmap is its table from codes to text, or nil.
func newPDFFont(v pdf.Value, cmap []byte) *pdfFont {
	f := &pdfFont{unit: 0.001, widths: map[uint32]float64{}, missing: 500} // half of the size: most fonts' average
	f.unicode = unicodeTable(cmap)
	if v.Key("Subtype").Name() == "Type0" {
		f.wide = true
		name := v.Key("Encoding").Name()
		f.utf16 = strings.Contains(name, "UCS2") || strings.Contains(name, "UTF16")
		f.composite(v.Key("DescendantFonts").Index(0))
		return f
	}
	font := pdf.Font{V: v}
	f.encoding = font.Encoder()
	if m := v.Key("FontMatrix"); v.Key("Subtype").Name() == "Type3" && m.Len() == 6 {
		f.unit = m.Index(0).Float64()
	}
	if w := v.Key("FontDescriptor").Key("MissingWidth"); w.Float64() > 0 {
		f.missing = w.Float64()
	}
	first := uint32(v.Key("FirstChar").Int64())
	list := v.Key("Widths")
	for i := range min(list.Len(), 256) {
		f.widths[first+uint32(i)] = list.Index(i).Float64()
	}
	return f
}

// maxWidths is how many codes of a composite font get a width of their own.
const maxWidths = 1 << 16

// composite reads the widths of a composite font: "code [w w …]" or "from to w" (PDF 32000-1:
// 9.7.4.3).
func (f *pdfFont) composite(v pdf.Value) {
	f.missing = 1000
	if w := v.Key("DW"); !w.IsNull() {
		f.missing = w.Float64()
	}
	list := v.Key("W")
	for i := 0; i+1 < list.Len() && len(f.widths) < maxWidths; {
		from := uint32(list.Index(i).Int64())
		if each := list.Index(i + 1); each.Kind() == pdf.Array {
			for j := range min(each.Len(), maxWidths) {
				f.widths[from+uint32(j)] = each.Index(j).Float64()
			}
			i += 2
			continue
		}
		to, w := uint32(list.Index(i+1).Int64()), list.Index(i+2).Float64()
		for code := from; code <= to && code-from < maxWidths && len(f.widths) < maxWidths; code++ {
			f.widths[code] = w
		}
		i += 3
	}
}

// codes yields the codes of a string and their lengths in bytes.
func (f *pdfFont) codes(raw string) iter.Seq2[uint32, int] {
	return func(yield func(uint32, int) bool) {
		step := 1
		if f.wide {
			step = 2
		}
		for i := 0; i+step <= len(raw); i += step {
			code := uint32(raw[i])
			if f.wide {
				code = code<<8 | uint32(raw[i+1])
			}
			if !yield(code, step) {
				return
			}
		}
	}
}

// text returns the text of a code. ok is false if the font does not tell it; then the text is the
// replacement character, so that the gap is seen.
func (f *pdfFont) text(code uint32) (text string, ok bool) {
	if text, ok = f.unicode[code]; ok {
		return text, true
	}
	switch {
	case f.utf16:
		return string(utf16.Decode([]uint16{uint16(code)})), true
	case f.wide:
		return "\uFFFD", false
	}
	text = f.encoding.Decode(string([]byte{byte(code)}))
	if text == "" || !utf8.ValidString(text) || text == "\uFFFD" {
		return "\uFFFD", false
	}
	return text, true
}

// width returns the width of a code as a part of the font's size.
func (f *pdfFont) width(code uint32) float64 {
	if w, ok := f.widths[code]; ok {
		return w * f.unit
	}
	if f.unit != 0.001 {
		return 0
	}
	return f.missing * f.unit
}

// maxMapped is how many codes a table may have: all codes of two bytes.
const maxMapped = 1 << 16

// mostMappings is how many operands one list of a table may have: 100 ranges of three (Adobe
// Technical Note 5014), and as much again.
const mostMappings = 600

// unicodeTable reads a font's table from codes to text (PDF 32000-1: 9.10.3): lists of "<code>
// <text>", and of "<from> <to> <text>" or "<from> <to> [<text> …]".
func unicodeTable(data []byte) map[uint32]string {
	table := map[uint32]string{}
	l := lexer{data: data, most: mostMappings}
	_ = l.operators(func(op string, args []operand) error {
		switch op {
		case "endbfchar":
			for i := 0; i+1 < len(args) && len(table) < maxMapped; i += 2 {
				table[codeOf(args[i])] = textOf(args[i+1], 0)
			}
		case "endbfrange":
			for i := 0; i+2 < len(args); i += 3 {
				mapRange(table, codeOf(args[i]), codeOf(args[i+1]), args[i+2])
			}
		}
		return nil
	})
	return table
}

// mapRange maps the codes from … to. text is a string, whose last character counts up, or a list.
func mapRange(table map[uint32]string, from, to uint32, text operand) {
	for code := from; code <= to && code-from < maxMapped && len(table) < maxMapped; code++ {
		n := int(code - from)
		if text.kind == arrayOperand {
			if n >= len(text.list) {
				return
			}
			table[code] = textOf(text.list[n], 0)
			continue
		}
		table[code] = textOf(text, n)
	}
}

// codeOf returns a code of one to four bytes.
func codeOf(o operand) (code uint32) {
	for _, b := range []byte(o.text) {
		code = code<<8 | uint32(b)
	}
	return code
}

// textOf returns a text in UTF-16 with n added to its last unit.
func textOf(o operand, n int) string {
	units := make([]uint16, 0, len(o.text)/2)
	for i := 0; i+1 < len(o.text); i += 2 {
		units = append(units, uint16(o.text[i])<<8|uint16(o.text[i+1]))
	}
	if len(units) > 0 {
		units[len(units)-1] += uint16(n)
	}
	return string(utf16.Decode(units))
}
