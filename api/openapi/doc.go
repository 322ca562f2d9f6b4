// Package openapi makes the OpenAPI 3.1 document of the JSON face from the protobuf sources: every call with its
// comments, the permission it needs, and the JSON of its messages.
//
//	document, err := openapi.Document(ctx, api.Sources) // what api/openapi.json holds
//
// What the sources do not say stands in two files beside the code. base.json is the frame: addresses that are no calls
// (/v1/events, /healthz, …), headers, tokens, errors. example.json has a request and its answer for the calls most
// people begin with; the test reads both as the messages they are said to be.
//
// JSON here is what the server speaks: names as in the sources, numbers of 64 bits as texts (in requests also as
// numbers), bytes in base64, times by RFC 3339, and the data of a draft also as the object itself.
package openapi
