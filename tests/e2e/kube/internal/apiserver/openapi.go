package apiserver

import (
	"reflect"
	"strings"

	apiextensionsopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// openAPIDefinitions is what kubectl needs to validate, explain and apply. The
// CRD and metadata types come with the apiextensions library; the generated
// definitions of the built-in types are in no library, so the few types served
// here are described from their Go structs.
func openAPIDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	d := definer{ref: ref, all: apiextensionsopenapi.GetOpenAPIDefinitions(ref)}
	for _, all := range types {
		for _, t := range all {
			d.define(reflect.TypeOf(t).Elem())
		}
	}
	return d.all
}

type definer struct {
	ref common.ReferenceCallback
	all map[string]common.OpenAPIDefinition
}

// define makes sure that t, a struct, is described, and returns its name.
func (d definer) define(t reflect.Type) string {
	name := util.GetCanonicalTypeName(reflect.New(t).Elem().Interface())
	if _, known := d.all[name]; known {
		return name
	}
	if told, ok := reflect.New(t).Interface().(interface {
		OpenAPISchemaType() []string
		OpenAPISchemaFormat() string
	}); ok { // Quantity and its like, which are text on the wire
		d.all[name] = common.OpenAPIDefinition{Schema: scalar(told.OpenAPISchemaType()[0], told.OpenAPISchemaFormat())}
		return name
	}
	d.all[name] = common.OpenAPIDefinition{} // holds the place, should t contain itself
	def := common.OpenAPIDefinition{Schema: spec.Schema{SchemaProps: spec.SchemaProps{
		Type: spec.StringOrArray{"object"}, Properties: map[string]spec.Schema{},
	}}}
	var docs map[string]string
	if documented, ok := reflect.New(t).Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		docs = documented.SwaggerDoc()
	}
	def.Schema.Description = docs[""]
	for i := range t.NumField() {
		d.field(&def, t.Field(i), docs)
	}
	d.all[name] = def
	return name
}

func (d definer) field(def *common.OpenAPIDefinition, f reflect.StructField, docs map[string]string) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" {
		return
	}
	if f.Anonymous && (name == "" || strings.Contains(options, "inline")) {
		for i := range f.Type.NumField() {
			d.field(def, f.Type.Field(i), map[string]string{
				"kind":       "Kind is a string value representing the REST resource this object represents.",
				"apiVersion": "APIVersion defines the versioned schema of this representation of an object.",
			})
		}
		return
	}
	s := d.schema(def, f.Type)
	s.Description = docs[name]
	def.Schema.Properties[name] = s
	if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") && f.Type.Kind() != reflect.Pointer {
		def.Schema.Required = append(def.Schema.Required, name)
	}
}

func (d definer) schema(def *common.OpenAPIDefinition, t reflect.Type) spec.Schema {
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(def, t.Elem())
	case reflect.Struct:
		name := d.define(t)
		def.Dependencies = append(def.Dependencies, name)
		return spec.Schema{SchemaProps: spec.SchemaProps{Default: map[string]any{}, Ref: d.ref(name)}}
	case reflect.Map:
		of := d.schema(def, t.Elem())
		return spec.Schema{SchemaProps: spec.SchemaProps{
			Type: spec.StringOrArray{"object"}, AdditionalProperties: &spec.SchemaOrBool{Allows: true, Schema: &of},
		}}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return scalar("string", "byte")
		}
		of := d.schema(def, t.Elem())
		return spec.Schema{
			VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{"x-kubernetes-list-type": "atomic"}},
			SchemaProps:      spec.SchemaProps{Type: spec.StringOrArray{"array"}, Items: &spec.SchemaOrArray{Schema: &of}},
		}
	case reflect.Bool:
		return scalar("boolean", "")
	case reflect.Int32, reflect.Int64:
		return scalar("integer", t.Kind().String())
	default:
		return scalar("string", "")
	}
}

func scalar(kind, format string) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{kind}, Format: format}}
}
