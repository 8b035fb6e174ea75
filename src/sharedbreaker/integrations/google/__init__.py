"""What the guards of both Google SDKs are made of; users import the two modules beside this folder."""
