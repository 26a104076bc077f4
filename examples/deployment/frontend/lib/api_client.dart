import 'dart:async';
import 'dart:convert';
import 'dart:math';

import 'package:http/http.dart' as http;

import 'config.dart';

/// What went wrong, for the user. [correlationId] is what to quote to whoever
/// runs the service: all log lines about the request have it.
class ApiException implements Exception {
  const ApiException(this.status, this.message, {this.correlationId, this.retryAfter});

  /// The HTTP status; 0 where no answer came.
  final int status;
  final String message;
  final String? correlationId;

  /// How long to wait, after a 429 or a 503.
  final Duration? retryAfter;

  @override
  String toString() => '$message (HTTP $status, correlation ID ${correlationId ?? 'unknown'})';
}

/// All requests to the service.
class ApiClient {
  ApiClient({http.Client? client}) : _http = client ?? http.Client();

  final http.Client _http;

  /// The access token, sent with every request; null before the login.
  String? token;

  /// Called when the server does not know the token any more.
  void Function()? onUnauthorized;

  /// Waits longer than this are the user's decision, not the client's.
  static const Duration _patience = Duration(seconds: 5);

  Future<dynamic> get(String path, {Map<String, String>? query}) => send('GET', path, query: query);

  Future<dynamic> post(String path, [Object? body]) => send('POST', path, body: body);

  Future<dynamic> patch(String path, Object body) => send('PATCH', path, body: body);

  Future<dynamic> delete(String path) => send('DELETE', path);

  /// Sends a request and returns the decoded JSON, or null for an empty answer.
  /// A GET that was refused for a short time is sent a second time; anything else
  /// might be done twice.
  Future<dynamic> send(String method, String path, {Object? body, Map<String, String>? query}) async {
    try {
      return await _send(method, path, body, query);
    } on ApiException catch (e) {
      final wait = e.retryAfter;
      if (method != 'GET' || wait == null || wait > _patience) rethrow;
      await Future<void>.delayed(wait);
      return _send(method, path, body, query);
    }
  }

  Future<dynamic> _send(String method, String path, Object? body, Map<String, String>? query) async {
    final answer = await open(method, path, body: body, query: query);
    try {
      final bytes = await answer.stream.toBytes();
      return bytes.isEmpty ? null : jsonDecode(utf8.decode(bytes));
    } on http.ClientException {
      throw _noAnswer(null);
    }
  }

  /// Sends a request and returns the answer with its body still to come. Answers
  /// that are no success are thrown.
  Future<http.StreamedResponse> open(
    String method,
    String path, {
    Object? body,
    Map<String, String>? query,
    Map<String, String> headers = const {'Accept': 'application/json'},
  }) async {
    final sentId = _newId();
    final request = http.Request(method, apiUri(path, query))
      ..headers.addAll(headers)
      ..headers['X-Correlation-ID'] = sentId;
    if (token != null) request.headers['Authorization'] = 'Bearer $token';
    if (body != null) {
      request.headers['Content-Type'] = 'application/json';
      request.body = jsonEncode(body);
    }
    final http.StreamedResponse answer;
    try {
      answer = await _http.send(request);
    } on http.ClientException {
      throw _noAnswer(sentId);
    }
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer;
    if (answer.statusCode == 401) onUnauthorized?.call();
    final http.Response response;
    try {
      response = await http.Response.fromStream(answer);
    } on http.ClientException {
      throw _noAnswer(sentId);
    }
    // Names are lower-case here. From another origin, only the headers that the
    // server exposes can be read (Access-Control-Expose-Headers).
    final seconds = int.tryParse(response.headers['retry-after'] ?? '');
    throw ApiException(
      response.statusCode,
      _detail(response),
      correlationId: response.headers['x-correlation-id'] ?? sentId,
      retryAfter: seconds == null ? null : Duration(seconds: seconds),
    );
  }

  ApiException _noAnswer(String? id) =>
      ApiException(0, 'The server does not answer. Check your connection.', correlationId: id);

  /// The detail of a problem (RFC 9457); of anything else, from a proxy in
  /// between for example, nothing is shown.
  String _detail(http.Response response) {
    if (response.headers['content-type']?.startsWith('application/problem+json') ?? false) {
      try {
        final problem = jsonDecode(utf8.decode(response.bodyBytes));
        if (problem is Map && response.statusCode == 429) return _refusal(problem['violated-policies']);
        if (problem is Map && problem['detail'] is String) return problem['detail'] as String;
      } on FormatException {
        // the sentence below
      }
    }
    return response.statusCode == 429 ? _refusal(null) : 'That did not work.';
  }
}

/// What a refusal says, by the names of the limits.
String _refusal(Object? policies) {
  for (final policy in policies is List ? policies : const <Object?>[]) {
    final name = '$policy';
    if (name.startsWith('ai-tokens')) return 'Your budget for answers is used up.';
    if (name.startsWith('ai-streams')) return 'Other answers are still coming. Stop one, or wait until it has ended.';
    if (name == 'ai' || name.startsWith('ai-')) return 'Enough questions for now.';
  }
  return 'Too many requests.';
}

/// "40 seconds", "3 hours": in one unit, never too short.
String inWords(Duration wait) {
  final seconds = (wait.inMilliseconds / 1000).ceil();
  final (n, unit) = seconds <= 90
      ? (seconds, 'second')
      : seconds <= 90 * 60
          ? ((seconds / 60).ceil(), 'minute')
          : ((seconds / 3600).ceil(), 'hour');
  return '$n $unit${n == 1 ? '' : 's'}';
}

final Random _random = Random.secure();

/// 128 random bits in hex.
String _newId() => List.generate(16, (_) => _random.nextInt(256).toRadixString(16).padLeft(2, '0')).join();
