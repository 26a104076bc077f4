import 'dart:async';

import 'package:flutter/material.dart';

import 'answer.dart';
import 'api_client.dart';
import 'session.dart';

/// One thread: its messages, and what the assistant is writing.
class ThreadScreen extends StatefulWidget {
  const ThreadScreen({super.key, required this.session, required this.id});

  final Session session;
  final String id;

  @override
  State<ThreadScreen> createState() => _ThreadScreenState();
}

class _ThreadScreenState extends State<ThreadScreen> {
  final TextEditingController _question = TextEditingController();
  final List<Object> _rows = []; // a user's text, or an Answer
  String? _problem;
  Answer? _writing;
  Timer? _refused; // until then, another question would be

  ApiClient get _api => widget.session.api;

  @override
  void initState() {
    super.initState();
    _load();
  }

  @override
  void dispose() {
    _refused?.cancel();
    _question.dispose();
    for (final answer in _rows.whereType<Answer>()) {
      answer.dispose();
    }
    super.dispose();
  }

  Future<void> _load() async {
    final thread = widget.id;
    try {
      String? after;
      do {
        final page = await _api.get('/api/threads/$thread/messages', query: after == null ? null : {'after': after});
        if (!mounted) return;
        setState(() {
          for (final message in (page['messages'] as List<dynamic>).cast<Map<String, dynamic>>()) {
            _rows.add(message['role'] == 'assistant' ? Answer.of(_api, thread, message) : message['content'] as String);
          }
        });
        after = page['next'] as String?;
      } while (after != null);
      final last = _rows.lastOrNull;
      if (last is Answer && last.running) unawaited(_follow(last, last.resume())); // begun before a reload
    } on ApiException catch (e) {
      _show(e);
    }
  }

  Future<void> _send() async {
    final answer = Answer(_api, widget.id);
    final question = _question.text;
    await _follow(
      answer,
      answer.ask(question, onBegun: () {
        if (!mounted) return;
        _question.clear();
        setState(() => _rows.addAll([question, answer]));
      }),
    );
    if (!_rows.contains(answer)) answer.dispose();
  }

  Future<void> _follow(Answer answer, Future<void> work) async {
    setState(() {
      _writing = answer;
      _problem = null;
    });
    try {
      await work;
      if (answer.wait case final wait?) _hold(wait);
    } on ApiException catch (e) {
      _show(e);
    } finally {
      if (mounted) setState(() => _writing = null);
    }
  }

  void _show(ApiException e) {
    if (!mounted) return;
    final wait = e.retryAfter;
    setState(() => _problem = wait == null ? '$e' : '${e.message} You can try again in ${inWords(wait)}.');
    if (wait != null) _hold(wait);
  }

  void _hold(Duration wait) {
    if (!mounted) return;
    _refused?.cancel();
    setState(() => _refused = Timer(wait, () => setState(() => _refused = null)));
  }

  @override
  Widget build(BuildContext context) => Scaffold(
        appBar: AppBar(title: const Text('Thread')),
        body: Column(
          children: [
            Expanded(
              child: ListView.builder(
                padding: const EdgeInsets.all(16),
                itemCount: _rows.length,
                itemBuilder: (context, i) => switch (_rows[i]) {
                  final Answer answer => AnswerView(answer: answer),
                  final row => ListTile(title: const Text('You'), subtitle: SelectableText('$row')),
                },
              ),
            ),
            if (_problem case final problem?)
              Semantics(liveRegion: true, child: Padding(padding: const EdgeInsets.all(16), child: SelectableText(problem))),
            Padding(
              padding: const EdgeInsets.all(16),
              child: Row(
                children: [
                  Expanded(
                    child: TextField(
                      controller: _question,
                      maxLines: null,
                      decoration: const InputDecoration(labelText: 'Message', border: OutlineInputBorder()),
                    ),
                  ),
                  const SizedBox(width: 8),
                  if (_writing?.id != null)
                    OutlinedButton(onPressed: _stop, child: const Text('Stop the answer'))
                  else
                    FilledButton(onPressed: _writing == null && _refused == null ? _send : null, child: const Text('Send')),
                ],
              ),
            ),
          ],
        ),
      );

  Future<void> _stop() async {
    try {
      await _writing?.stop();
    } on ApiException catch (e) {
      _show(e);
    }
  }
}

/// An answer, as it grows. A screen reader is told the whole of it, once it is there.
class AnswerView extends StatelessWidget {
  const AnswerView({super.key, required this.answer});

  final Answer answer;

  @override
  Widget build(BuildContext context) => ListenableBuilder(
        listenable: answer,
        builder: (context, _) => Semantics(
          liveRegion: !answer.running,
          child: ListTile(
            title: Text(answer.running ? 'Assistant is writing…' : 'Assistant'),
            subtitle: Column(
              crossAxisAlignment: CrossAxisAlignment.start,
              children: [
                SelectableText(answer.text),
                if (answer.note case final note?) Text(note, style: Theme.of(context).textTheme.bodySmall),
              ],
            ),
          ),
        ),
      );
}
