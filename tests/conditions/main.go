// Makes analysis/tests/corpus.tsv: what the original library (expr-lang v1.17.8) says to expressions and inputs of our own.
//
//	go run . > ../../analysis/tests/corpus.tsv
//
// A row is: input as JSON with its Go type, expression, `=` and the result as JSON or `!` and the message of the error.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
)

type input struct {
	name  string
	value any
}

func fromJSON(text string) any {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		panic(err)
	}
	return value
}

var inputs = map[string]input{
	"f":   {"float 0.25", 0.25},
	"i":   {"float 3", float64(3)},
	"nan": {"float NaN", math.NaN()},
	"inf": {"float +Inf", math.Inf(1)},
	"fs":  {"floats [0.5,2,3]", []float64{0.5, 2, 3}},
	"one": {"floats [0.25]", []float64{0.25}},
	"no":  {"floats []", []float64{}},
	"nil": {"json null", nil},
	"s":   {"json \"healthy\"", fromJSON(`"healthy"`)},
	"n":   {"json \"42\"", fromJSON(`"42"`)},
	"b":   {"json true", fromJSON(`true`)},
	"l":   {`json [1,"a",null,2.5]`, fromJSON(`[1,"a",null,2.5]`)},
	"m": {`json {"ok":true,"count":3,"rate":0.25,"name":"web","none":null,"list":[3,1,2],"pods":[{"name":"a","cpu":0.5},{"name":"b","cpu":1.5}]}`,
		fromJSON(`{"ok":true,"count":3,"rate":0.25,"name":"web","none":null,"list":[3,1,2],"pods":[{"name":"a","cpu":0.5},{"name":"b","cpu":1.5}]}`)},
}

// The functions that Argo Rollouts gives to conditions, as users know them.
func environment(result any) map[string]any {
	number := func(in any) (float64, bool) {
		switch v := reflect.ValueOf(in); v.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			return float64(v.Int()), true
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			return float64(v.Uint()), true
		case reflect.Float32, reflect.Float64:
			return v.Float(), true
		}
		return 0, false
	}
	return map[string]any{
		"result": result,
		"asInt": func(in any) int64 {
			if text, ok := in.(string); ok {
				whole, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					panic(err)
				}
				return whole
			}
			value, ok := number(in)
			if !ok {
				panic(fmt.Sprintf("asInt() not supported on type %T %v", in, in))
			}
			return int64(value)
		},
		"asFloat": func(in any) float64 {
			if text, ok := in.(string); ok {
				value, err := strconv.ParseFloat(text, 64)
				if err != nil {
					panic(err)
				}
				return value
			}
			value, ok := number(in)
			if !ok {
				panic(fmt.Sprintf("asFloat() not supported on type %T %v", in, in))
			}
			return value
		},
		"isNaN": math.IsNaN,
		"isInf": func(f float64) bool { return math.IsInf(f, 0) },
	}
}

func message(err error) string {
	var located *file.Error
	if errors.As(err, &located) {
		return located.Message
	}
	return err.Error()
}

// A result in a form that both sides can write: numbers of any kind as numbers.
func plain(value any) any {
	switch v := value.(type) {
	case nil, bool, string:
		return v
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return map[string]any{"float": strconv.FormatFloat(v, 'g', -1, 64)}
		}
		return v
	case time.Time:
		return map[string]any{"time": v.UTC().Format(time.RFC3339Nano)}
	case time.Duration:
		return map[string]any{"duration": int64(v)}
	}
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Slice, reflect.Array:
		list := make([]any, 0, v.Len())
		for i := range v.Len() {
			list = append(list, plain(v.Index(i).Interface()))
		}
		return list
	case reflect.Map:
		out := map[string]any{}
		for _, key := range v.MapKeys() {
			out[fmt.Sprint(key.Interface())] = plain(v.MapIndex(key).Interface())
		}
		return out
	}
	return fmt.Sprintf("%T", value)
}

func outcome(source string, result any) (text string) {
	env := environment(result)
	program, err := expr.Compile(source, expr.Env(env))
	if err != nil {
		return "!" + message(err)
	}
	value, err := expr.Run(program, env)
	if err != nil {
		return "!" + message(err)
	}
	out, err := json.Marshal(plain(value))
	if err != nil {
		panic(err)
	}
	return "=" + string(out)
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	seen := map[string]bool{}
	row := func(name, source string) {
		in, ok := inputs[name]
		if !ok {
			panic(name)
		}
		line := in.name + "\t" + source + "\t" + strings.ReplaceAll(outcome(source, in.value), "\n", "\\n")
		if !seen[line] {
			seen[line] = true
			fmt.Fprintln(out, line)
		}
	}
	for _, block := range blocks {
		for _, name := range strings.Fields(block.inputs) {
			for _, source := range strings.Split(strings.TrimSpace(block.sources), "\n") {
				row(name, strings.TrimSpace(source))
			}
		}
	}
}
