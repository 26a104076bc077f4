package auth

// ReturnURL is for fuzzing.
var ReturnURL = returnURL
