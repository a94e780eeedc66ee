import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.File;
import java.io.FileReader;
import java.lang.reflect.Method;
import java.nio.file.Files;
import org.openapitools.client.ApiClient;
import org.openapitools.client.JSON;
import org.openapitools.client.api.DigitsApi;
import org.openapitools.client.api.IdentityFp16Api;
import org.openapitools.client.api.ManagementApi;
import org.openapitools.client.api.ModelsApi;
import org.openapitools.client.model.RegisterModelRequest;
import org.openapitools.client.model.StatisticsResponseModelStatsInner;

/** Uses a Java client of openapi-generator. Argument: the base URL. Reads calls.json, prints results. */
public final class Program {
    public static void main(String[] args) throws Exception {
        ApiClient client = new ApiClient().setBasePath(args[0]);
        Gson gson = JSON.getGson();
        JsonObject plan = JsonParser.parseReader(new FileReader("calls.json")).getAsJsonObject();
        JsonArray results = new JsonArray();
        for (JsonElement element : plan.getAsJsonArray("calls")) {
            JsonObject call = element.getAsJsonObject();
            Class<?> schema = found("model", call.get("schema").getAsString());
            Object request = gson.fromJson(call.get("body"), schema);
            Class<?> api = found("api", call.get("api").getAsString() + "Api");
            Object instance = api.getConstructor(ApiClient.class).newInstance(client);
            results.add(gson.toJsonTree(invoke(instance, call.get("operation").getAsString(), request)));
        }

        File halves = File.createTempFile("onnxd", ".bin");
        Files.write(halves.toPath(), new byte[] {0, 60});
        File raw = new IdentityFp16Api(client).inferIdentityFp16(halves, null, null, 0, "1,1");
        byte[] answer = Files.readAllBytes(raw.toPath());
        JsonArray last = new JsonArray();
        last.add(answer[answer.length - 2]);
        last.add(answer[answer.length - 1]);

        File picture = new File(plan.get("picture").getAsString());
        String digit = new DigitsApi(client).predictDigits(picture, null, null).get(0).getPropertyClass().getValue();

        long lastInference = 0;
        int models = 0;
        for (StatisticsResponseModelStatsInner one : new ModelsApi(client).allStatistics().getModelStats()) {
            lastInference = Math.max(lastInference, one.getLastInference());
            models++;
        }
        ManagementApi management = new ManagementApi(client);
        File file = new File(plan.get("file").getAsString());
        String uploaded = management.uploadModel(file, "from-java", null, null, null, null, null, null, null,
                null, null, null, 1, null, null, null, null, null, null).getStatus();
        String registered = management.registerModel(null, null, null, null, null, null, null, null, null,
                null, null, null, null, null, null, null, null, null, null,
                new RegisterModelRequest().url("simple").modelName("again-java")).getStatus();

        JsonObject all = new JsonObject();
        all.add("results", results);
        all.add("raw", last);
        all.addProperty("digit", digit);
        all.addProperty("lastInference", lastInference);
        all.addProperty("models", models);
        all.addProperty("uploaded", uploaded);
        all.addProperty("registered", registered);
        all.addProperty("listed", management.listModels(2, null).getModels().size());
        System.out.println(all);
        System.exit(0);
    }

    /** The method with this name whose arguments are the body and optional headers. */
    private static Object invoke(Object api, String name, Object body) throws Exception {
        for (Method method : api.getClass().getMethods()) {
            if (!method.getName().equals(name)) continue;
            Object[] values = new Object[method.getParameterCount()];
            values[0] = body;
            return method.invoke(api, values);
        }
        throw new NoSuchMethodException(name);
    }

    /** The class with this name, whatever the generator made of its capitals and other signs. */
    private static Class<?> found(String folder, String name) throws Exception {
        for (String file : new File("target/classes/org/openapitools/client/" + folder).list()) {
            String known = file.replace(".class", "");
            if (plain(known).equals(plain(name))) {
                return Class.forName("org.openapitools.client." + folder + "." + known);
            }
        }
        throw new ClassNotFoundException(name);
    }

    private static String plain(String name) {
        return name.replaceAll("[^A-Za-z0-9]", "").toLowerCase();
    }
}
