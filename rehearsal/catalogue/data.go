package catalogue

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Data is the content of the data file: the generator encodes it, Default
// decodes it.
type Data struct {
	Header Header  `json:"header"`
	Types  []Entry `json:"types"`
}

// Header says where the data comes from.
type Header struct {
	// Comment names the generator and the command that runs it.
	Comment string `json:"comment"`
	// PriceList and Reprice are the sources of prices; Reprice is the newer of
	// the two and covers only the regions it lists.
	PriceList Source `json:"priceList"`
	Reprice   Source `json:"reprice"`
	// Facts are the further sources of what is in a Type.
	Facts []Source `json:"facts"`
}

// Source is one source of data.
type Source struct {
	// Name is a Go module or a document.
	Name string `json:"name"`
	// Version is the module's version; empty for a document.
	Version string `json:"version,omitempty"`
	// Date is the day the data is of, as 2006-01-02.
	Date string `json:"date"`
	// Regions lists the regions covered, where they are not all.
	Regions []string `json:"regions,omitempty"`
	// Gives says what was taken from it.
	Gives string `json:"gives"`
}

// Entry is one instance type with what each region that sells it asks for it.
type Entry struct {
	Type
	// Repriced is set when the on-demand price has changed since the price
	// list: every figure is then the newer one, measured or scaled.
	Repriced bool `json:"repriced,omitempty"`
	// Offers says what each region that has the type asks for it.
	Offers Offers `json:"offers"`
}

// Offers is keyed by region. In the file it is one string, for speed: by
// region, the on-demand price, the spot price and the zones, such as
// "us-west-1 0.631 0.2475 13, us-west-2 0.526 0.188067 123". A spot price of
// "-" means that spot is not offered, zones of "*" that no source says which;
// a price behind "~" is assumed.
type Offers map[string]Offer

// Offer is what one region asks for one type.
type Offer struct {
	// OnDemand and Spot are in USD an hour; Spot is 0 when there is no spot.
	OnDemand, Spot float64
	// OnDemandAssumed and SpotAssumed are set when no source states the price.
	OnDemandAssumed, SpotAssumed bool
	// Zones holds the last digit of each zone ID; empty when no source says.
	Zones string
}

// MarshalText renders the offers as the file holds them.
func (o Offers) MarshalText() ([]byte, error) {
	var text []byte
	for i, region := range slices.Sorted(maps.Keys(o)) {
		if i > 0 {
			text = append(text, ", "...)
		}
		offer := o[region]
		text = fmt.Appendf(text, "%s %s %s %s", region,
			formatPrice(offer.OnDemand, offer.OnDemandAssumed), formatPrice(offer.Spot, offer.SpotAssumed), cmp.Or(offer.Zones, "*"))
	}
	return text, nil
}

// UnmarshalText reads what MarshalText wrote.
func (o *Offers) UnmarshalText(text []byte) error {
	read := Offers{}
	for one := range strings.SplitSeq(string(text), ", ") {
		region, rest, _ := strings.Cut(one, " ")
		onDemand, rest, _ := strings.Cut(rest, " ")
		spot, zones, ok := strings.Cut(rest, " ")
		if !ok || zones == "" {
			return fmt.Errorf("offer %q: want region, on-demand price, spot price and zones", one)
		}
		var offer Offer
		var err error
		if offer.OnDemand, offer.OnDemandAssumed, err = parsePrice(onDemand); err != nil {
			return fmt.Errorf("offer %q: on-demand price: %w", one, err)
		}
		if offer.Spot, offer.SpotAssumed, err = parsePrice(spot); err != nil {
			return fmt.Errorf("offer %q: spot price: %w", one, err)
		}
		if zones != "*" {
			offer.Zones = zones
		}
		read[region] = offer
	}
	*o = read
	return nil
}

// formatPrice is exact for prices rounded to six decimals, as the sources give
// them.
func formatPrice(usd float64, assumed bool) string {
	if usd == 0 {
		return "-"
	}
	mark := ""
	if assumed {
		mark = "~"
	}
	return mark + strconv.FormatFloat(usd, 'f', -1, 64)
}

func parsePrice(word string) (usd float64, assumed bool, err error) {
	if word == "-" {
		return 0, false, nil
	}
	digits, assumed := strings.CutPrefix(word, "~")
	usd, err = strconv.ParseFloat(digits, 64)
	return usd, assumed, err
}

// Encode writes the data file: the header, then one type a line, so that a
// change shows as the lines it touches.
func (d Data) Encode(w io.Writer) error {
	header, err := json.MarshalIndent(d.Header, "", " ")
	if err != nil {
		return fmt.Errorf("encode the header: %w", err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"header\": %s,\n\"types\": [", header)
	for i, entry := range d.Types {
		line, err := json.Marshal(entry)
		if err != nil {
			return fmt.Errorf("encode instance type %s: %w", entry.Name, err)
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
		out.Write(line)
	}
	out.WriteString("\n]}\n")
	_, err = w.Write(out.Bytes())
	return err
}

// Decode reads a data file and refuses one without types or with an unknown
// field.
func Decode(file []byte) (Data, error) {
	var d Data
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return Data{}, fmt.Errorf("decode the instance catalogue: %w", err)
	}
	if len(d.Types) == 0 {
		return Data{}, errors.New("decode the instance catalogue: it holds no instance types")
	}
	return d, nil
}
