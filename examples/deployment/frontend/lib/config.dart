/// What differs between deployments is compiled in:
///
///     flutter build web --dart-define=API_BASE_URL=https://api.example.com
///
/// Everybody can read it in main.dart.js: no secrets here. Left out, the API has
/// the origin of this page, as with STATIC_DIR.
const String _apiBaseUrl = String.fromEnvironment('API_BASE_URL');

final Uri _apiBase = Uri.parse(_apiBaseUrl.isEmpty ? Uri.base.origin : _apiBaseUrl);

/// The URL of a path of the API.
Uri apiUri(String path, [Map<String, String>? query]) =>
    _apiBase.replace(path: path, queryParameters: query);
