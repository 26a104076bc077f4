import 'package:flutter/material.dart';
import 'package:flutter_web_plugins/url_strategy.dart';
import 'package:web/web.dart' as web;

import 'api_client.dart';
import 'auth_callback.dart';
import 'session.dart';
import 'thread_screen.dart';

void main() {
  // Paths instead of #fragments: the server answers every route with index.html.
  usePathUrlStrategy();
  final start = Uri.base;
  if (start.path == '/auth/callback') {
    // Before anything else: a code must not stay in the history.
    web.window.history.replaceState(null, '', start.path);
  }
  runApp(ThreadsApp(session: Session(ApiClient()), start: start));
}

class ThreadsApp extends StatelessWidget {
  const ThreadsApp({super.key, required this.session, required this.start});

  final Session session;
  final Uri start;

  @override
  Widget build(BuildContext context) => MaterialApp(
        title: 'Threads',
        theme: ThemeData(colorSchemeSeed: const Color(0xff24594a)),
        darkTheme: ThemeData(colorSchemeSeed: const Color(0xff24594a), brightness: Brightness.dark),
        // One page, not a stack of '/', '/auth' and '/auth/callback'.
        onGenerateInitialRoutes: (name) => [_route(RouteSettings(name: name))],
        onGenerateRoute: _route,
      );

  Route<void> _route(RouteSettings settings) => MaterialPageRoute(
        settings: settings,
        builder: (_) {
          final path = Uri.parse(settings.name ?? '/').pathSegments;
          if (path case ['auth', 'callback']) return AuthCallbackScreen(session: session, callback: start);
          return ListenableBuilder(
            listenable: session,
            builder: (_, __) => switch (path) {
              _ when !session.loggedIn => LoginScreen(session: session),
              ['threads', final id] => ThreadScreen(session: session, id: id),
              _ => ThreadsScreen(session: session),
            },
          );
        },
      );
}

class LoginScreen extends StatefulWidget {
  const LoginScreen({super.key, required this.session});

  final Session session;

  @override
  State<LoginScreen> createState() => _LoginScreenState();
}

class _LoginScreenState extends State<LoginScreen> {
  String? _problem;

  Future<void> _login(String provider) async {
    try {
      await widget.session.login(provider);
    } on ApiException catch (e) {
      if (mounted) setState(() => _problem = '$e');
    }
  }

  @override
  Widget build(BuildContext context) => Scaffold(
        body: Center(
          child: Column(
            mainAxisSize: MainAxisSize.min,
            children: [
              Text('Come in.', style: Theme.of(context).textTheme.displaySmall),
              for (final (name, label) in const [('google', 'Google'), ('microsoft', 'Microsoft')])
                Padding(
                  padding: const EdgeInsets.only(top: 16),
                  child: OutlinedButton(onPressed: () => _login(name), child: Text('Continue with $label')),
                ),
              if (_problem != null) Semantics(liveRegion: true, child: SelectableText(_problem!)),
            ],
          ),
        ),
      );
}

class ThreadsScreen extends StatefulWidget {
  const ThreadsScreen({super.key, required this.session});

  final Session session;

  @override
  State<ThreadsScreen> createState() => _ThreadsScreenState();
}

class _ThreadsScreenState extends State<ThreadsScreen> {
  late final Future<List<dynamic>> _threads =
      widget.session.api.get('/api/threads').then((page) => page['threads'] as List<dynamic>);

  @override
  Widget build(BuildContext context) => Scaffold(
        appBar: AppBar(
          title: const Text('Threads'),
          actions: [TextButton(onPressed: widget.session.logout, child: const Text('Log out'))],
        ),
        body: FutureBuilder<List<dynamic>>(
          future: _threads,
          builder: (context, snapshot) {
            if (snapshot.hasError) return Center(child: SelectableText('${snapshot.error}'));
            final threads = snapshot.data;
            if (threads == null) return const Center(child: CircularProgressIndicator());
            if (threads.isEmpty) return const Center(child: Text('Nothing here yet.'));
            return ListView(
              children: [
                for (final thread in threads)
                  ListTile(
                    title: Text(thread['title'] as String),
                    onTap: () => Navigator.of(context).pushNamed('/threads/${thread['id']}'),
                  ),
              ],
            );
          },
        ),
      );
}
