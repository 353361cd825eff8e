package comment

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// Limit is how many bytes a comment has at most. GitHub takes 65,536 characters, and
// who posts it adds some.
const Limit = 60_000

// foldLimit is how many bytes of text a section that folds has at most.
const foldLimit = 12_000

// cut stands for what was left out.
const cut = "… cut: the whole is among the artifacts of the run"

// document is Markdown that grows, and says at its end if anything did not fit.
type document struct {
	text strings.Builder
	full bool
}

// room is how many bytes are left for text, the note at the end not counted.
func (d *document) room() int { return Limit - d.text.Len() - len(cut) - len("\n\n") }

func (d *document) line(format string, args ...any) {
	line := fmt.Sprintf(format, args...) + "\n"
	if len(line) > d.room() {
		d.full = true
		return
	}
	d.text.WriteString(line)
}

// end is the whole text.
func (d *document) end() string {
	if d.full {
		d.text.WriteString("\n" + cut + "\n")
	}
	return d.text.String()
}

func (d *document) paragraph(format string, args ...any) {
	d.line("\n"+format, args...)
}

// fold writes a section that opens with a click. Its title is plain text, its text is
// shown as it is, highlighted as a language.
func (d *document) fold(title, language, text string) {
	const frame = 200 // tags, fences and the note
	room := min(foldLimit, d.room()-len(title)-frame)
	if room <= 0 {
		d.full = true
		return
	}
	d.line("\n<details><summary>%s</summary>\n\n%s\n</details>", html.EscapeString(title), block(language, shorten(text, room)))
}

// block is a code block: its fence is longer than any in the text.
func block(language, text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + language + "\n" + strings.TrimRight(text, "\n") + "\n" + fence
}

// code is a code span of one line.
func code(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		text = " " + text + " "
	}
	return fence + text + fence
}

// shorten cuts text at the end of a line, so that no more than so many bytes are left
// and what is left is UTF-8.
func shorten(text string, most int) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= most {
		return text
	}
	text = text[:most]
	if at := strings.LastIndexByte(text, '\n'); at >= 0 {
		text = text[:at+1]
	} else {
		text = strings.ToValidUTF8(text, "") + "\n"
	}
	return text + cut
}
