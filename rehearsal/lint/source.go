package lint

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"eks-gpu-slicing/rehearsal/workload"
)

// source is the text of an object, to tell lines by.
type source struct {
	// node is the object, first the line of the file before the document that it is in.
	node  *yaml.Node
	first int
}

// sources are those of objects, in their order; nil for one whose text is not known,
// such as the second object of a JSON stream.
func sources(objects []workload.Object) ([]*source, error) {
	files := map[string][]*source{}
	out := make([]*source, len(objects))
	for i, o := range objects {
		documents, read := files[o.File]
		if !read {
			var err error
			if documents, err = documentsOf(o.File); err != nil {
				return nil, err
			}
		}
		if len(documents) > 0 {
			out[i], documents = documents[0], documents[1:]
		}
		files[o.File] = documents
	}
	return out, nil
}

// documentsOf are the objects of a file's documents that are more than comments; of a
// List they are its items, as [workload.Read] takes it apart.
func documentsOf(file string) ([]*source, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []*source
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for first := 0; ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("workload %s: %w", file, err)
		}
		var parsed yaml.Node
		if err := yaml.Unmarshal(document, &parsed); err == nil && len(parsed.Content) > 0 && parsed.Content[0].Kind == yaml.MappingNode {
			for _, object := range objectsOf(parsed.Content[0]) {
				all = append(all, &source{node: object, first: first})
			}
		}
		first += bytes.Count(document, []byte("\n")) + 1 // and the separator
	}
}

// objectsOf are the items of a document that is a List, or the one object it is.
func objectsOf(document *yaml.Node) []*yaml.Node {
	value := func(key string) *yaml.Node {
		v, _ := child(document, key)
		if v == nil {
			return &yaml.Node{}
		}
		return v
	}
	if value("kind").Value == "List" && value("apiVersion").Value == "v1" {
		return value("items").Content
	}
	return []*yaml.Node{document}
}

// line is where a field is, or else what it would be in, 1 being the file's first
// line. 0 is unknown.
func (s *source) line(field string) int {
	if s == nil {
		return 0
	}
	node, at := s.node, s.node.Line
	for _, step := range steps(field) {
		next, line := child(node, step)
		if next == nil {
			break
		}
		node, at = next, line
	}
	return s.first + at
}

// child is the value of a key or the item of an index, and the line it begins at.
func child(node *yaml.Node, step string) (*yaml.Node, int) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if n, err := strconv.Atoi(step); err == nil && n >= 0 && n < len(node.Content) {
			return node.Content[n], node.Content[n].Line
		}
	case yaml.AliasNode:
		return child(node.Alias, step)
	}
	return nil, 0
}

// steps takes apart a field as the API server names it, such as
// spec.containers[0].resources.limits[nvidia.com/gpu].
func steps(field string) []string {
	var out []string
	for field != "" {
		if rest, bracketed := strings.CutPrefix(field, "["); bracketed {
			key, after, _ := strings.Cut(rest, "]")
			out = append(out, key)
			field = strings.TrimPrefix(after, ".")
			continue
		}
		end := strings.IndexAny(field, ".[")
		if end < 0 {
			return append(out, field)
		}
		out = append(out, field[:end])
		field = strings.TrimPrefix(field[end:], ".")
	}
	return out
}
