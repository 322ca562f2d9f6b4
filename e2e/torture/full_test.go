package torture_test

import "context"

func fill(context.Context, *work) {}
