import 'dart:async';
import 'dart:convert';
import 'dart:math';

import 'package:flutter/foundation.dart';
import 'package:http/http.dart' as http;

import 'api_client.dart';
import 'sse.dart';

/// One answer of the assistant while it is written, over as many connections as it
/// takes. The question is sent once: it costs money. What comes back is numbered by
/// its place in the text, so a connection that breaks is taken up where it broke.
class Answer extends ChangeNotifier {
  /// An answer to be asked for.
  Answer(this._api, this._thread);

  /// One that was begun before, as the list of messages has it.
  Answer.of(this._api, this._thread, Map<String, dynamic> message) {
    _take(message);
    text = message['content'] as String;
    _have = utf8.encode(text).length;
  }

  final ApiClient _api;
  final String _thread;

  String? id;
  String text = '';

  /// "streaming", "done", "stopped" or "failed", as the server says; "lost" where
  /// it could not be asked any more.
  String state = 'streaming';

  /// What went wrong, or what is waited for.
  String? note;

  /// How long another question would be refused.
  Duration? wait;

  int _have = 0; // bytes of the text
  bool _left = false;
  Duration _retry = const Duration(seconds: 1);

  /// The server sends something every 15 seconds, or the line is dead.
  static const Duration _silence = Duration(seconds: 45);
  static const int _attempts = 10;

  bool get running => state == 'streaming';

  /// Asks; [onBegun] is called once the question is saved. It throws what went
  /// wrong before that.
  Future<void> ask(String question, {required void Function() onBegun}) async {
    final first = await _api.open('POST', '/api/threads/$_thread/chat', body: {'content': question}, headers: _stream);
    final ended = await _read(first.stream, onBegun: onBegun);
    if (id == null) throw const ApiException(0, 'The connection broke. Look whether the question arrived before you send it again.');
    if (!ended) await resume();
  }

  /// Goes on until the answer has ended or the page is left.
  Future<void> resume() async {
    for (var failures = 0; !_left && running; failures++) {
      try {
        final before = _have;
        final next = await _api.open('GET', '/api/threads/$_thread/messages/$id/stream',
            headers: {..._stream, 'Last-Event-ID': '$_have'});
        if (next.statusCode == 204) return await _finish();
        if (await _read(next.stream)) return;
        if (_have > before) failures = 0;
      } on ApiException catch (e) {
        final passing = e.status == 0 || e.status == 429 || e.status >= 500;
        if (!passing || failures >= _attempts) return _end('lost', e.message, e.retryAfter);
        if (e.retryAfter case final after? when after > _retry) await Future<void>.delayed(after - _retry);
      }
      // Longer each time, and never as long as all the others who lost the same server.
      final longest = min(_retry.inMilliseconds << min(failures, 5), 30000);
      _say('The connection broke. It is tried again.');
      await Future<void>.delayed(Duration(milliseconds: longest ~/ 2 + Random().nextInt(longest ~/ 2 + 1)));
    }
  }

  /// Ends it for good; what is there is kept.
  Future<void> stop() => _api.delete('/api/threads/$_thread/messages/$id/stream');

  @override
  void dispose() {
    _left = true;
    super.dispose();
  }

  static const Map<String, String> _stream = {'Accept': 'text/event-stream'};

  /// Reads one connection; true if the answer has ended.
  Future<bool> _read(Stream<List<int>> bytes, {void Function()? onBegun}) async {
    final heard = bytes.timeout(_silence, onTimeout: (sink) => sink.close());
    try {
      await for (final event in serverEvents(heard, onRetry: (d) => _retry = d)) {
        if (_left) return true; // the subscription ends, and with it the request
        final data = jsonDecode(event.data) as Map<String, dynamic>;
        switch (event.name) {
          case 'message':
            _take(data['message'] as Map<String, dynamic>);
            onBegun?.call();
          case 'delta':
            if (!_add(data['text'] as String, int.parse(event.id))) return false;
          case 'done':
            text = data['message']['content'] as String? ?? text;
            _end(data['message']['state'] as String);
            return true;
          case 'failed':
            final seconds = data['retry_after'] as int?;
            _end('failed', data['detail'] as String?, seconds == null ? null : Duration(seconds: seconds));
            return true;
          case 'reconnect':
            return false;
        }
      }
    } on http.ClientException {
      // cut: the next connection goes on
    } on FormatException {
      // somebody else's answer
    }
    return false;
  }

  void _take(Map<String, dynamic> message) {
    id = message['id'] as String;
    state = message['state'] as String? ?? 'done';
  }

  /// Adds the new part of a piece that ends at the byte [to]; false where something
  /// is missing before it.
  bool _add(String piece, int to) {
    final bytes = utf8.encode(piece);
    final known = _have - (to - bytes.length);
    if (known < 0) return false;
    if (known < bytes.length) text += utf8.decode(bytes.sublist(known), allowMalformed: true);
    _have = max(_have, to);
    _say(null);
    return true;
  }

  /// The text is here; how it ended is not known.
  Future<void> _finish() async {
    final whole = await _api.get('/api/threads/$_thread/messages/$id/stream') as Map<String, dynamic>;
    text = whole['message']['content'] as String? ?? text;
    _end(whole['message']['state'] as String);
  }

  void _end(String ending, [String? why, Duration? until]) {
    state = ending;
    wait = until;
    _say(why ??
        switch (ending) {
          'stopped' => 'Stopped. This is what was written until then.',
          'failed' => 'This answer broke off. What was written until then is kept.',
          _ => null,
        });
  }

  void _say(String? words) {
    note = words;
    if (!_left) notifyListeners();
  }
}
