import 'package:flutter/material.dart';

import 'api_client.dart';
import 'session.dart';

/// The page that a login comes back to, /auth/callback?code=...&state=...
///
/// [callback] is the URL as it was when the app started; main() has taken the code
/// off the address bar since.
class AuthCallbackScreen extends StatefulWidget {
  const AuthCallbackScreen({super.key, required this.session, required this.callback});

  final Session session;
  final Uri callback;

  @override
  State<AuthCallbackScreen> createState() => _AuthCallbackScreenState();
}

class _AuthCallbackScreenState extends State<AuthCallbackScreen> {
  String? _problem;

  @override
  void initState() {
    super.initState();
    _finish();
  }

  Future<void> _finish() async {
    try {
      final path = await widget.session.finish(widget.callback);
      if (mounted) await Navigator.of(context).pushReplacementNamed(path);
    } on LoginException catch (e) {
      _show(e.message);
    } on ApiException catch (e) {
      _show('${e.message}\nCorrelation ID ${e.correlationId}');
    }
  }

  void _show(String problem) {
    if (mounted) setState(() => _problem = problem);
  }

  @override
  Widget build(BuildContext context) {
    final problem = _problem;
    return Scaffold(
      body: Center(
        child: problem == null
            ? const CircularProgressIndicator(semanticsLabel: 'Logging in')
            : Column(
                mainAxisSize: MainAxisSize.min,
                children: [
                  Semantics(liveRegion: true, child: SelectableText(problem, textAlign: TextAlign.center)),
                  const SizedBox(height: 16),
                  FilledButton(
                    onPressed: () => Navigator.of(context).pushReplacementNamed('/'),
                    child: const Text('Back to the login'),
                  ),
                ],
              ),
      ),
    );
  }
}
