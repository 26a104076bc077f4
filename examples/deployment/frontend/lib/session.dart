import 'dart:async';
import 'dart:convert';
import 'dart:math';

import 'package:crypto/crypto.dart';
import 'package:flutter/foundation.dart';
import 'package:web/web.dart' as web;

import 'api_client.dart';
import 'config.dart';

/// Who is logged in.
///
/// The token is kept in memory and in sessionStorage: a reload keeps the session,
/// a closed tab ends it, and the browser never sends it by itself. The price: a
/// script that runs in this page could read it, so the page must have a strict
/// Content-Security-Policy. TOKEN_DELIVERY=cookie hides it from scripts, where app
/// and API are on one site.
class Session extends ChangeNotifier {
  Session(this.api) {
    api.onUnauthorized = _forget;
    final kept = web.window.sessionStorage.getItem(_sessionKey);
    if (kept != null) _keep(jsonDecode(kept) as Map<String, dynamic>);
  }

  static const String _sessionKey = 'threads.session';
  static const String _loginKey = 'threads.login';

  final ApiClient api;
  Timer? _renewal;

  bool get loggedIn => api.token != null;

  /// Leaves the app for the provider's page. The challenge is the hash of a
  /// verifier that stays in this tab (RFC 7636, S256): a code that is stolen on
  /// its way back is worth nothing.
  Future<void> login(String provider, {String returnUrl = '/'}) async {
    final random = Random.secure();
    final verifier = _base64Url(List.generate(32, (_) => random.nextInt(256)));
    final answer = await api.post('/auth/$provider/initiate', {
      'challenge': _base64Url(sha256.convert(ascii.encode(verifier)).bytes),
      'return_url': returnUrl,
    });
    // On another origin than this page's, auth_url leads to the API's own
    // /auth/{provider}/login first, so that its cookie is first-party.
    final url = apiUri('/').resolve(answer['auth_url'] as String);
    if (!url.isScheme('https') && !url.isScheme('http')) throw const FormatException('auth_url is no page');
    web.window.sessionStorage.setItem(_loginKey, jsonEncode({'verifier': verifier, 'state': answer['state']}));
    web.window.location.assign(url.toString());
  }

  /// Exchanges the code of the callback URL for a token and returns where to go.
  Future<String> finish(Uri callback) async {
    final kept = web.window.sessionStorage.getItem(_loginKey);
    web.window.sessionStorage.removeItem(_loginKey); // one code, one try
    final query = callback.queryParameters;
    if (query['error'] == 'access_denied') throw const LoginException('You did not allow it at the provider.');
    final login = kept == null ? null : jsonDecode(kept) as Map<String, dynamic>;
    // Somebody else's code, in a link, would log the user in to that one's account.
    if (login == null || !query.containsKey('code') || query['state'] != login['state']) {
      throw const LoginException('This login was begun elsewhere, or too long ago. Begin again.');
    }
    final answer = await api.post('/auth/token', {'code': query['code'], 'verifier': login['verifier']});
    _keep(_withEnd(answer as Map<String, dynamic>));
    final path = answer['return_url'] as String? ?? '/';
    return path.startsWith('/') && !path.startsWith('//') && !path.startsWith(r'/\') ? path : '/';
  }

  Future<void> logout({bool everywhere = false}) async {
    await api.post('/auth/logout', {'everywhere': everywhere});
    _forget();
  }

  Map<String, dynamic> _withEnd(Map<String, dynamic> answer) => {
        'token': answer['access_token'],
        'until': DateTime.now().millisecondsSinceEpoch + (answer['expires_in'] as int) * 1000,
      };

  void _keep(Map<String, dynamic> session) {
    api.token = session['token'] as String;
    web.window.sessionStorage.setItem(_sessionKey, jsonEncode(session));
    _renewal?.cancel();
    final left = (session['until'] as int) - DateTime.now().millisecondsSinceEpoch;
    // At half of its life, so that what fails can be tried again.
    _renewal = Timer(Duration(milliseconds: max(left ~/ 2, 10000)), () => _renew(session['until'] as int));
    notifyListeners();
  }

  Future<void> _renew(int until) async {
    try {
      _keep(_withEnd(await api.post('/auth/refresh') as Map<String, dynamic>));
    } on ApiException {
      if (loggedIn && DateTime.now().millisecondsSinceEpoch < until) {
        _renewal = Timer(const Duration(seconds: 30), () => _renew(until));
      } // else the next request is a 401
    }
  }

  void _forget() {
    _renewal?.cancel();
    api.token = null;
    web.window.sessionStorage.removeItem(_sessionKey);
    notifyListeners();
  }
}

class LoginException implements Exception {
  const LoginException(this.message);

  final String message;

  @override
  String toString() => message;
}

String _base64Url(List<int> bytes) => base64UrlEncode(bytes).replaceAll('=', '');
