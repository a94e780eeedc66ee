// Uses a Go client of openapi-generator. Argument: the base URL. Reads calls.json, prints results.
package main

import (
	"context"
	"encoding/json"
	"io"
	"os"

	client "github.com/GIT_USER_ID/GIT_REPO_ID"
)

type call struct {
	Operation string
	Body      json.RawMessage
}

type plan struct {
	Calls   []call
	File    string
	Picture string
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: os.Args[1]}}
	api := client.NewAPIClient(configuration)
	ctx := context.Background()

	text, err := os.ReadFile("calls.json")
	check(err)
	var todo plan
	check(json.Unmarshal(text, &todo))
	results := []interface{}{}
	for _, one := range todo.Calls {
		result, err := operations[one.Operation](ctx, api, one.Body)
		if err != nil {
			panic(one.Operation + ": " + err.Error())
		}
		results = append(results, result)
	}

	check(os.WriteFile("halves.bin", []byte{0, 60}, 0o600))
	halves, err := os.Open("halves.bin")
	check(err)
	raw, _, err := api.IdentityFp16API.InferIdentityFp16(ctx).Body(halves).InferenceHeaderContentLength(0).TensorShape("1,1").Execute()
	check(err)
	answer, err := io.ReadAll(raw)
	check(err)

	picture, err := os.Open(todo.Picture)
	check(err)
	classes, _, err := api.DigitsAPI.PredictDigits(ctx).Image(picture).Execute()
	check(err)
	statistics, _, err := api.ModelsAPI.AllStatistics(ctx).Execute()
	check(err)
	var lastInference int64
	for _, one := range statistics.ModelStats {
		if one.LastInference > lastInference {
			lastInference = one.LastInference
		}
	}
	file, err := os.Open(todo.File)
	check(err)
	uploaded, _, err := api.ManagementAPI.UploadModel(ctx).Model(file).ModelName("from-go").InitialWorkers(1).Execute()
	check(err)
	request := client.NewRegisterModelRequest()
	request.SetUrl("simple")
	request.SetModelName("again-go")
	registered, _, err := api.ManagementAPI.RegisterModel(ctx).RegisterModelRequest(*request).Execute()
	check(err)
	listed, _, err := api.ManagementAPI.ListModels(ctx).Limit(2).Execute()
	check(err)

	check(json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"results":       results,
		"raw":           []int{int(answer[len(answer)-2]), int(answer[len(answer)-1])},
		"digit":         classes[0].Class,
		"lastInference": lastInference,
		"models":        len(statistics.ModelStats),
		"uploaded":      uploaded.Status,
		"registered":    registered.Status,
		"listed":        len(listed.Models),
	}))
}
