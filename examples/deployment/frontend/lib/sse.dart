import 'dart:convert';

/// One event of a stream (HTML, section 9.2.6).
class ServerEvent {
  const ServerEvent(this.name, this.data, this.id);

  final String name;
  final String data;

  /// The last ID that the stream has set, also by an earlier event.
  final String id;
}

/// Reads an event stream. What stands behind the last blank line when the stream
/// ends is no event: it was cut. [onRetry] is told how long the server asks to wait
/// before the stream is opened again.
Stream<ServerEvent> serverEvents(Stream<List<int>> bytes, {void Function(Duration)? onRetry}) async* {
  var name = '';
  var id = '';
  final data = <String>[];
  // Both mind neither a character nor a line end that is cut in two.
  final lines = bytes.transform(const Utf8Decoder(allowMalformed: true)).transform(const LineSplitter());
  await for (final line in lines) {
    if (line.isEmpty) {
      if (data.isNotEmpty) yield ServerEvent(name.isEmpty ? 'message' : name, data.join('\n'), id);
      name = '';
      data.clear();
      continue;
    }
    final colon = line.indexOf(':'); // 0: a comment, the server's heartbeat
    final field = colon < 0 ? line : line.substring(0, colon);
    var value = colon < 0 ? '' : line.substring(colon + 1);
    if (value.startsWith(' ')) value = value.substring(1);
    switch (field) {
      case 'data':
        data.add(value);
      case 'event':
        name = value;
      case 'id':
        if (!value.contains('\u0000')) id = value;
      case 'retry':
        final milliseconds = RegExp(r'^\d+$').hasMatch(value) ? int.parse(value) : null;
        if (milliseconds != null) onRetry?.call(Duration(milliseconds: milliseconds));
    }
  }
}
